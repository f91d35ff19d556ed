//! Flawed chapters: each check must find what is wrong in them.

use libtest_mimic::Failed;

use super::chapters::Chapter;
use super::{figures, labs, links, passages};

/// A test, by its name.
pub(crate) type Test = (&'static str, fn() -> Result<(), Failed>);

pub(crate) const TESTS: [Test; 7] = [
    ("flawed::a_chapter_that_the_summary_lacks", not_in_summary),
    ("flawed::dead_links", dead_links),
    ("flawed::passages", passages_that_are_wrong),
    ("flawed::an_exercise_without_a_test", without_a_test),
    ("flawed::a_figure_without_words", without_words),
    ("flawed::labs_that_print_something_else", other_output),
    ("flawed::a_server_that_cannot_start", no_server),
];

// Two passages for the test of passages:
// ANCHOR: without_end
// ANCHOR: too_long
fn chapter(file: &str, text: &str) -> Chapter {
    Chapter {
        file: file.to_owned(),
        text: text.to_owned(),
    }
}

/// Compares what was found with `expected`, each a part of the words.
fn expect(found: &[String], expected: &[&str]) -> Result<(), Failed> {
    let alike = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, words)| found.contains(words));
    if alike {
        return Ok(());
    }
    Err(format!("found {found:#?} instead of {expected:#?}").into())
}

fn not_in_summary() -> Result<(), Failed> {
    let chapters = [
        chapter("SUMMARY.md", "- [Part 1](part-01.md)"),
        chapter("part-01.md", ""),
        chapter("part-02.md", ""),
    ];
    expect(&links::missing_in_summary(&chapters), &["part-02.md"])
}

fn dead_links() -> Result<(), Failed> {
    let text = "# One heading\n[a](b.md) [b](#one-heading) [c](#another)\n[d](https://example.org) ![e](figures/f.svg)\n";
    let found = links::dead(&[chapter("a.md", text)]);
    let expected = [
        "a.md:2: b.md: no such chapter",
        "a.md:2: #another: no such heading",
        "a.md:3: https://example.org: the book is read without a network",
        "a.md:3: figures/f.svg: no such file",
    ];
    expect(&found, &expected)
}

fn passages_that_are_wrong() -> Result<(), Failed> {
    let includes = [
        "callbacks/src/none.rs:one",
        "callbacks/src/lib.rs:none",
        "cli/tests/book/flawed.rs:without_end",
        "cli/tests/book/flawed.rs:too_long",
    ];
    let includes = includes.map(|include| format!("{{{{#include ../../{include}}}}}\n"));
    let text = format!("```rust\n{}```\n", includes.concat());
    let found = passages::wrong(&[chapter("a.md", &text)]);
    let expected = [
        "No such file",
        "the anchor does not begin",
        "the anchor does not end",
        "lines are more than 50",
    ];
    expect(&found, &expected)
}

fn without_a_test() -> Result<(), Failed> {
    let text = "\n## Exercises\n\n1. One: `exactly_one_of_the_two_is_called`.\n2. Two:\n   `none`.\n\n## Where we differ\n\n1. Three.\n";
    let found = passages::missing_solutions(&[chapter("part-06.md", text)]);
    expect(&found, &["part-06.md: exercise 2"])
}

fn without_words() -> Result<(), Failed> {
    let mut chapters = super::chapters::all();
    chapters.push(chapter("a.md", "![](figures/f.svg)"));
    expect(
        &figures::unused(&chapters),
        &["a.md: a figure without words"],
    )
}

// ANCHOR_END: too_long

/// Runs a lab that must fail, and returns why it did.
fn failing(script: &str) -> Result<String, Failed> {
    let chapter = chapter("flawed.md", &format!("```sh lab\n{script}\n```\n"));
    let labs = labs::of(&chapter);
    let [lab] = labs.as_slice() else {
        return Err(format!("{} labs instead of one", labs.len()).into());
    };
    match labs::run(lab) {
        Ok(()) => Err(format!("the lab passes: {script}").into()),
        Err(failed) => Ok(failed.message().unwrap_or_default().to_owned()),
    }
}

fn other_output() -> Result<(), Failed> {
    let why = [
        failing("echo one\n#> two")?,
        // In another order.
        failing("echo one; echo two\n#> two\n#> one")?,
        failing("echo nothing is to be seen")?,
    ];
    let expected = [
        "no line matches 'two'",
        "no line matches 'one'",
        "a lab must say what is to be seen",
    ];
    expect(&why, &expected)
}

fn no_server() -> Result<(), Failed> {
    let why = failing("serve POEM poem poems/none.txt\n#> ^Serving")?;
    expect(&[why], &["POEM does not serve"])
}
