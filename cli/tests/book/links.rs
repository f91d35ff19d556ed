//! Links: the summary has every chapter, and each relative link leads to a file and, if it names one, to a heading or a name in it.
//! Nothing is loaded from a network.

use std::collections::HashMap;
use std::path::Path;

use super::ROOT;
use super::chapters::Chapter;
use super::passages::{included, read};

/// Returns the chapters that the summary does not list.
pub(crate) fn missing_in_summary(chapters: &[Chapter]) -> Vec<String> {
    let summary = chapters.iter().find(|chapter| chapter.file == "SUMMARY.md");
    let summary = &summary.expect("SUMMARY.md").text;
    let listed = |chapter: &&Chapter| summary.contains(&format!("]({})", chapter.file));
    let others = chapters
        .iter()
        .filter(|chapter| chapter.file != "SUMMARY.md");
    others
        .filter(|chapter| !listed(chapter))
        .map(|chapter| format!("SUMMARY.md does not list {}", chapter.file))
        .collect()
}

/// Returns the links that lead nowhere.
pub(crate) fn dead(chapters: &[Chapter]) -> Vec<String> {
    let headings: HashMap<_, _> = chapters
        .iter()
        .map(|chapter| (chapter.file.as_str(), headings(chapter)))
        .collect();
    let mut dead = Vec::new();
    for chapter in chapters {
        for (line, text) in shown(chapter) {
            for target in targets(&text) {
                if let Some(why) = why_dead(&chapter.file, target, &headings) {
                    dead.push(format!("{}:{line}: {target}: {why}", chapter.file));
                }
            }
        }
    }
    dead
}

/// Returns the lines of a chapter outside its code, with those that it includes, and their numbers in the chapter.
fn shown(chapter: &Chapter) -> Vec<(usize, String)> {
    let prose = chapter.prose().into_iter();
    let lines = prose.flat_map(|(number, line)| {
        let lines = match included(line) {
            Some(page) => read(page).expect("an included page"),
            None => vec![line.to_owned()],
        };
        lines.into_iter().map(move |line| (number, line))
    });
    lines.collect()
}

fn why_dead(
    from: &str,
    target: &str,
    headings: &HashMap<&str, Vec<String>>,
) -> Option<&'static str> {
    if target.contains("://") {
        return Some("the book is read without a network");
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { from } else { file };
    if file.ends_with(".md") {
        let Some(headings) = headings.get(file) else {
            return Some("no such chapter");
        };
        let found = heading.is_empty() || headings.iter().any(|known| known == heading);
        return (!found).then_some("no such heading");
    }
    let found = Path::new(ROOT).join("book/src").join(file).is_file();
    (!found && !is_step(file)).then_some("no such file in book/src")
}

/// Whether it is a step of a ladder: `book/build` copies them into the book.
fn is_step(file: &str) -> bool {
    let step = file.strip_prefix("examples/").and_then(|name| {
        let (model, _) = name.split_once('_')?;
        Some(Path::new(ROOT).join(format!("{model}/{file}")))
    });
    step.is_some_and(|step| step.is_file())
}

/// Returns what the links and images of a line lead to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// Returns the names that mdBook gives to the headings of a chapter, of what it includes too, and those that are given by hand.
fn headings(chapter: &Chapter) -> Vec<String> {
    let lines = shown(chapter);
    let lines: Vec<_> = lines.iter().map(|(_, line)| line.as_str()).collect();
    let text = lines.join("\n");
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slugs = headings.map(|line| slug(line.trim_start_matches('#').trim()));
    let names = text.split("<a id=\"").skip(1);
    let names = names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    slugs.chain(names).collect()
}

fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
