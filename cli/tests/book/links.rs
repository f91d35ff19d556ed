//! Links: the summary has every chapter, and each relative link leads to a file and, if it names one, to a heading of it.
//! Nothing is loaded from a network.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::ROOT;
use super::chapters::Chapter;
use super::passages::included;

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
        for (line, text) in chapter.prose() {
            for target in targets(text) {
                if let Some(why) = why_dead(&chapter.file, target, &headings) {
                    dead.push(format!("{}:{line}: {target}: {why}", chapter.file));
                }
            }
        }
    }
    dead
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
    (!found).then_some("no such file in book/src")
}

/// Returns what the links and images of a line lead to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// Returns the names that mdBook gives to the headings of a chapter, of what it includes too.
fn headings(chapter: &Chapter) -> Vec<String> {
    let mut text = String::new();
    for (_, line) in chapter.prose() {
        match included(line) {
            Some(path) => {
                let path = Path::new(ROOT).join("book/src").join(path);
                text += &fs::read_to_string(path).expect("an included page");
            }
            None => text += line,
        }
        text.push('\n');
    }
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| slug(line.trim_start_matches('#').trim()))
        .collect()
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
