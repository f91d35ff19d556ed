//! Flawed chapters: each check must find what is wrong in them.

use libtest_mimic::Failed;

use super::chapters::Chapter;
use super::{figures, labs, links, parts, passages};

/// A test, by its name.
pub(crate) type Test = (&'static str, fn() -> Result<(), Failed>);

pub(crate) const TESTS: [Test; 10] = [
    ("flawed::a_chapter_that_the_summary_lacks", not_in_summary),
    ("flawed::dead_links", dead_links),
    ("flawed::passages", passages_that_are_wrong),
    ("flawed::an_exercise_without_a_test", without_a_test),
    ("flawed::a_figure_without_words", without_words),
    ("flawed::parts_that_lack_something", incomplete_parts),
    (
        "flawed::differences_that_are_not_told_once",
        untold_differences,
    ),
    ("flawed::a_ladder_that_is_missing", missing_ladder),
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
    let text = "# One heading\n[a](b.md) [b](#one-heading) [c](#another)\n[d](https://example.org) ![e](figures/f.svg)\n[g](examples/actors_01_process.rs) [h](examples/actors_none.rs)\n";
    let found = links::dead(&[chapter("a.md", text)]);
    let expected = [
        "a.md:2: b.md: no such chapter",
        "a.md:2: #another: no such heading",
        "a.md:3: https://example.org: the book is read without a network",
        "a.md:3: figures/f.svg: no such file",
        "a.md:4: examples/actors_none.rs: no such file",
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

/// Takes each of the things that a part must have out of one that is complete.
fn incomplete_parts() -> Result<(), Failed> {
    let chapters = super::chapters::all();
    let whole = chapters.iter().find(|chapter| chapter.file == "part-14.md");
    let whole = &whole.ok_or("no part 14")?.text;
    let without = |old: &str, new: &str| chapter("part-14.md", &whole.replace(old, new));
    let (_, after_idea) = whole.split_once("\n## ").ok_or("no section")?;
    let cases = [
        (
            chapter(
                "part-14.md",
                &format!("# Part 14\n\n![a](figures/a.svg)\n\n## {after_idea}"),
            ),
            "an idea",
        ),
        (without("](figures/", "](pictures/"), "lacks a figure"),
        (
            without("figures/shared-fetch.svg", "figures/places.svg"),
            "a figure of its own: part-18.md shows places.svg too",
        ),
        (
            without("### Actors", "### Processes"),
            "a passage of Actors",
        ),
        (
            without("../../callbacks/src/proxy", "../../actors/src/proxy"),
            "a passage of Callbacks",
        ),
        (
            chapter(
                "part-14.md",
                &whole
                    .replace("```python", "```")
                    .replace("```haskell", "```"),
            ),
            "a passage in a language of the tutorial",
        ),
        (without("```sh lab", "```sh"), "a section 'Lab'"),
        (
            chapter(
                "part-14.md",
                &whole.replace("\n2. ", "\n").replace("\n3. ", "\n"),
            ),
            "a section 'Exercises'",
        ),
        (
            without("## Where we differ", "## Elsewhere"),
            "a section 'Where we differ'",
        ),
    ];
    expect(&parts::lacks(&chapter("part-14.md", whole), &chapters), &[])?;
    for (flawed, words) in cases {
        expect(&parts::lacks(&flawed, &chapters), &[words])?;
    }
    let others = chapters
        .iter()
        .filter(|chapter| chapter.file != "part-14.md");
    let others: Vec<_> = others.cloned().collect();
    expect(&parts::incomplete(&others), &["there is no part-14.md"])
}

fn missing_ladder() -> Result<(), Failed> {
    let mut chapters = super::chapters::all();
    let page = chapters.iter_mut().find(|page| page.file == "ladders.md");
    let page = page.ok_or("no ladders.md")?;
    page.text = page
        .text
        .replace("streams/README.md:ladder", "streams/README.md");
    expect(&parts::missing_ladders(&chapters), &["Streams"])
}

fn untold_differences() -> Result<(), Failed> {
    let rows = [
        "| without a name | ours |",
        "| <a id=\"differs-one\"></a>told once | ours |",
        "| <a id=\"differs-two\"></a>told twice | ours |",
        "| <a id=\"differs-none\"></a>not told | ours |",
        "| <a id=\"differs-lab\"></a>told elsewhere | ours |",
    ];
    let chapters = [
        chapter(
            "part-01.md",
            "\n## Lab\n[a](rules.md#differs-lab)\n\n## Where we differ\n\n[a](rules.md#differs-one) [b](rules.md#differs-two)\n",
        ),
        chapter(
            "part-02.md",
            "\n## Where we differ\n[b](rules.md#differs-two)\n",
        ),
    ];
    let expected = [
        "a difference without a name: | without a name",
        "differs-two is told in [\"part-01.md\", \"part-02.md\"]",
        "differs-none is told in []",
        "part-01.md tells differs-lab elsewhere",
    ];
    expect(&parts::untold(rows.into_iter(), &chapters), &expected)
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
