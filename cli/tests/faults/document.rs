//! Compares what was observed with FAULTS.md and the README, or writes both.

use std::fs;

use conformance::faults::FaultCase;
use conformance::faults::page::Page;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../FAULTS.md");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
/// How the README's line about the page begins.
const SUMMARY: &str = "Under ";

/// Compares `observed` with the page and the README, or writes it there if `QUATRAIN_BLESS` is set. Returns whether both are
/// current.
pub(super) fn keep_current(cases: &[FaultCase], observed: Page) -> bool {
    let models: Vec<&str> = models::ALL.iter().map(|model| model.name()).collect();
    let text = fs::read_to_string(PAGE).unwrap_or_default();
    let mut page = Page::parse(&text, cases, &models);
    let readme = fs::read_to_string(README).expect("the README");
    if std::env::var_os("QUATRAIN_BLESS").is_some() {
        page.merge(observed);
        fs::write(PAGE, page.render(cases, &models)).expect("writing FAULTS.md");
        let summary = page.summary(cases, &models);
        fs::write(README, with_summary(&readme, &summary)).expect("writing the README");
        return true;
    }
    let mut faults = page.differences(&observed);
    for (case, model) in page.missing(cases, &models) {
        faults.push(format!("{case}, {model}: not on the page"));
    }
    if page.render(cases, &models) != text {
        faults.push("its text is not as the suite writes it".to_owned());
    }
    if !readme
        .lines()
        .any(|line| line == page.summary(cases, &models))
    {
        faults.push("the README's line about it is not current".to_owned());
    }
    faults.sort();
    faults.dedup();
    if !faults.is_empty() {
        println!("FAULTS.md is not current; QUATRAIN_BLESS=1 writes it anew:");
        faults.iter().for_each(|fault| println!("  {fault}"));
    }
    faults.is_empty()
}

fn with_summary(readme: &str, summary: &str) -> String {
    let is_old = |line: &str| line.starts_with(SUMMARY) && line.contains("FAULTS.md");
    let replace = |line| if is_old(line) { summary } else { line };
    let lines: Vec<&str> = readme.lines().map(replace).collect();
    lines.join("\n") + "\n"
}
