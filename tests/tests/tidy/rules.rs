//! SEMANTICS.md states every rule once, and a test carries its number.
//!
//! A rule is named by a test function that begins with it (`s7_a_reply_survives_unread_input`, `d1_…`), by a case of
//! the suite, or by a pairing. The test prints rules that have none: `cargo test -p quatrain-tests --test tidy rules --
//! --nocapture`.

use std::collections::BTreeSet;
use std::fs;

use conformance::{cases, interop};

use crate::tree::{ROOT, sources};

/// How many rules each letter has, numbered from 1.
const RULES: &[(char, usize)] = &[('S', 24), ('D', 14), ('R', 9), ('O', 7), ('L', 5), ('T', 3)];

/// Rules of programs that do not exist yet, or that only the tests of the command can check.
const MAY_WAIT: &[&str] = &["S8", "S9", "S17", "S22"];

fn all_rules() -> Vec<String> {
    let numbered = |&(letter, count): &(char, usize)| {
        (1..=count).map(move |number| format!("{letter}{number}"))
    };
    RULES.iter().flat_map(numbered).collect()
}

#[test]
fn semantics_states_every_rule_once() {
    let text = fs::read_to_string(format!("{ROOT}/SEMANTICS.md")).expect("SEMANTICS.md");
    let stated: Vec<String> = text.lines().filter_map(stated_rule).collect();
    assert_eq!(stated, all_rules());
}

/// The rule in `- **S7 Lingering close.** A reply is …`.
fn stated_rule(line: &str) -> Option<String> {
    let bold = line.trim_start().strip_prefix("- **")?;
    let word = bold.split([' ', '*', '.']).next()?;
    let (letter, number) = (word.chars().next()?, word.get(1..)?);
    let known = RULES.iter().any(|&(known, _)| known == letter);
    (known && number.parse::<usize>().is_ok()).then(|| word.to_owned())
}

#[test]
fn a_test_names_every_s_rule() {
    let named = named_rules();
    let unnamed: Vec<String> = all_rules()
        .into_iter()
        .filter(|rule| !named.contains(rule))
        .collect();
    println!("rules that no test names yet: {}", unnamed.join(", "));
    let waits = |rule: &&String| !rule.starts_with('S') || MAY_WAIT.contains(&rule.as_str());
    let missing: Vec<_> = unnamed.iter().filter(|rule| !waits(rule)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// The rules that test functions, cases and pairings name.
fn named_rules() -> BTreeSet<String> {
    let of_cases = cases::all().into_iter().flat_map(|case| case.rules);
    let of_interop = interop::ALL.iter().flat_map(|case| case.rules);
    let mut named: BTreeSet<String> = of_cases
        .chain(of_interop)
        .map(|&rule| rule.to_owned())
        .collect();
    for file in sources() {
        for line in file.text.lines().map(str::trim) {
            let function = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ");
            named.extend(function.into_iter().flat_map(rules_of));
        }
    }
    named
}

/// The rules that a function's name begins with: S5 and S7 in `s5_s7_a_reply`.
fn rules_of(function: &str) -> Vec<String> {
    let words = function.split('_').map(str::to_uppercase);
    words
        .take_while(|word| all_rules().contains(word))
        .collect()
}

#[test]
fn rules_are_read_from_the_beginning_of_a_name() {
    assert_eq!(rules_of("s5_s7_a_reply_survives"), ["S5", "S7"]);
    assert_eq!(rules_of("d10_results_in_index_order"), ["D10"]);
    assert!(rules_of("a_test_of_s5_").is_empty());
}

#[test]
fn every_case_cites_rules_that_exist() {
    let rules = all_rules();
    for case in cases::all() {
        for rule in case.rules {
            assert!(
                rules.iter().any(|known| known == rule),
                "{} cites {rule}",
                case.path()
            );
        }
    }
}
