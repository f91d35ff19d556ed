//! Checks the models' ladders of examples: names, length, the table in the model's README, and a test that runs each step.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{File, ROOT, models, sources_below};

/// The maximum of lines in one step: it is read as a whole, beside its neighbour.
const LINES_MAX: usize = 120;
/// The parts of the tutorial that have programs. Part 1 is an introduction; Parts 15, 16 and 22 are about tests, daemons and what to
/// read next.
const PARTS: [u8; 18] = [
    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21,
];

/// Returns a model's examples. A folder holds code that several of them share.
fn examples(model: &str) -> Vec<File> {
    let folder = format!("{model}/examples/");
    let mut files = sources_below(model);
    files.retain(|file| {
        let name = file.path.strip_prefix(&folder);
        name.is_some_and(|name| !name.contains('/'))
    });
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!files.is_empty(), "{model} has no examples");
    files
}

/// Returns the name of an example without its model's: `06_deferred`.
fn step<'a>(model: &str, example: &'a File) -> &'a str {
    let name = example.path.strip_prefix(&format!("{model}/examples/"));
    let name = name.and_then(|name| name.strip_prefix(&format!("{model}_")));
    let step = name.and_then(|name| name.strip_suffix(".rs"));
    step.unwrap_or_else(|| panic!("{example:?} is not named after its model"))
}

/// Returns the rows of the table in a model's README.
fn rows(model: &str) -> Vec<String> {
    let readme = fs::read_to_string(format!("{ROOT}/{model}/README.md")).expect("a README");
    let table = readme.lines().filter(|line| line.starts_with('|'));
    table.skip(2).map(str::to_owned).collect()
}

#[test]
fn every_example_is_named_after_its_model_and_numbered() {
    for model in models() {
        for example in examples(model) {
            let number = step(model, &example).split('_').next().unwrap_or_default();
            let digits = number.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
            let is_numbered = digits.len() == 2 && digits.parse::<u8>().is_ok();
            assert!(
                is_numbered && number.len() <= 3,
                "{example:?} is not called {model}_NN_…, or NNb between two"
            );
        }
    }
}

#[test]
fn no_example_is_too_long_to_be_read_beside_its_neighbour() {
    for example in models().into_iter().flat_map(examples) {
        let lines = example.text.lines().count();
        assert!(lines <= LINES_MAX, "{example:?} has {lines} lines");
    }
}

#[test]
fn the_readme_of_a_model_lists_its_examples() {
    for model in models() {
        let names = rows(model);
        let examples = examples(model);
        for example in &examples {
            let step = step(model, example);
            let row = format!(
                "| [{step}](examples/{model}_{step}.rs) | `cargo run -p quatrain-{model} --example {model}_{step}` | "
            );
            let found = names.iter().filter(|name| name.contains(&row)).count();
            assert_eq!(found, 1, "{model}/README.md does not have: {row}");
        }
        assert_eq!(
            names.len(),
            examples.len(),
            "{model}/README.md has other rows"
        );
    }
}

#[test]
fn every_part_of_the_tutorial_with_programs_is_a_step() {
    let mut parts = BTreeSet::new();
    for row in models().into_iter().flat_map(rows) {
        let first = row.split('|').nth(1).unwrap_or_default();
        parts.extend(
            first
                .split(',')
                .filter_map(|part| part.trim().parse::<u8>().ok()),
        );
    }
    let missing: Vec<u8> = PARTS
        .into_iter()
        .filter(|part| !parts.contains(part))
        .collect();
    assert!(missing.is_empty(), "parts without a step: {missing:?}");
}

#[test]
fn every_example_is_run_by_a_test() {
    for model in models() {
        let tests = fs::read_to_string(format!("{ROOT}/{model}/tests/examples.rs")).expect("tests");
        for example in examples(model) {
            let step = step(model, &example);
            let runs = [
                format!("\"{step}\""),
                format!("\"{model}_{step}\""),
                format!("{model}_{step}::run"),
            ];
            let is_run = runs.iter().any(|run| tests.contains(run));
            assert!(is_run, "{model}/tests/examples.rs does not run {step}");
        }
    }
}

#[test]
fn the_readme_links_to_the_tables() {
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).expect("README.md");
    for model in models() {
        let link = format!("[{model}]({model}/README.md)");
        assert!(readme.contains(&link), "README.md has no link {link}");
    }
}
