//! Checks that SEMANTICS.md states every rule once, and that a test names it.
//!
//! A rule is named by a test function that begins with it (`s7_a_reply_survives_unread_input`, `d1_…`), by a case of
//! the suite, by a fault case, or by an interoperability case. The test prints the rules without one: `cargo test -p quatrain-tests --test tidy
//! rules -- --nocapture`.

use std::collections::BTreeSet;
use std::fs;

use conformance::{cases, faults, interop};

use crate::tree::{ROOT, sources};

/// The number of rules of each letter. Rules are numbered from 1.
const RULES: &[(char, usize)] = &[
    ('S', 26),
    ('D', 14),
    ('R', 9),
    ('O', 11),
    ('L', 5),
    ('T', 3),
];

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

/// Returns the rule in a line such as `- **S7 Lingering close.** A reply is …`.
fn stated_rule(line: &str) -> Option<String> {
    let bold = line.trim_start().strip_prefix("- **")?;
    let word = bold.split([' ', '*', '.']).next()?;
    let (letter, number) = (word.chars().next()?, word.get(1..)?);
    let known = RULES.iter().any(|&(known, _)| known == letter);
    (known && number.parse::<usize>().is_ok()).then(|| word.to_owned())
}

#[test]
fn every_s_rule_is_named_by_a_test() {
    let named = named_rules();
    let unnamed: Vec<String> = all_rules()
        .into_iter()
        .filter(|rule| !named.contains(rule))
        .collect();
    println!("rules that no test names: {}", unnamed.join(", "));
    let missing: Vec<_> = unnamed
        .iter()
        .filter(|rule| rule.starts_with('S'))
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// Returns the rules that test functions, cases, fault cases and interoperability cases name.
fn named_rules() -> BTreeSet<String> {
    let of_cases = cases::all().into_iter().flat_map(|case| case.rules);
    let of_faults = faults::cases::all().into_iter().flat_map(|case| case.rules);
    let of_interop = interop::ALL.iter().flat_map(|case| case.rules);
    let mut named: BTreeSet<String> = of_cases
        .chain(of_faults)
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

/// Returns the rules at the beginning of a function's name: S5 and S7 in `s5_s7_a_reply`.
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
    let known = all_rules();
    let of_cases = cases::all()
        .into_iter()
        .map(|case| (case.path(), case.rules));
    let of_faults = faults::cases::all()
        .into_iter()
        .map(|case| (case.path(), case.rules));
    for (path, rules) in of_cases.chain(of_faults) {
        for rule in rules {
            assert!(
                known.iter().any(|known| known == rule),
                "{path} cites {rule}"
            );
        }
    }
}
