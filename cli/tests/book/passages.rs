//! Passages: each include names a file and an anchor that exist, and shows no more than a page; each exercise names a test.

use std::fs;
use std::path::Path;

use super::ROOT;
use super::chapters::Chapter;

/// The most lines of a passage.
const LINES_MAX: usize = 50;

/// Returns what is wrong with the passages that chapters include in blocks of code.
pub(crate) fn wrong(chapters: &[Chapter]) -> Vec<String> {
    let mut wrong = Vec::new();
    for chapter in chapters {
        for block in chapter.blocks() {
            for include in block.lines.iter().filter_map(|line| included(line)) {
                if let Err(why) = check(include) {
                    let (file, line) = (&chapter.file, block.line);
                    wrong.push(format!("{file}:{line}: {include}: {why}"));
                }
            }
        }
    }
    wrong
}

/// Returns the path, and the anchor if there is one, in a line that includes a file.
pub(crate) fn included(line: &str) -> Option<&str> {
    line.trim().strip_prefix("{{#include ")?.strip_suffix("}}")
}

fn check(include: &str) -> Result<(), String> {
    let lines = read(include)?;
    let shown = lines.iter().filter(|line| !line.contains("ANCHOR")).count();
    if shown > LINES_MAX && include.contains(':') {
        return Err(format!("{shown} lines are more than {LINES_MAX}"));
    }
    Ok(())
}

/// Reads the lines of a passage, or of a whole file, such as a licence.
pub(crate) fn read(include: &str) -> Result<Vec<String>, String> {
    let (path, anchor) = include.split_once(':').unwrap_or((include, ""));
    let path = Path::new(ROOT).join("book/src").join(path);
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines = text.lines().map(str::to_owned);
    if anchor.is_empty() {
        return Ok(lines.collect());
    }
    // The name may be followed by the end of a comment.
    let names = |line: &str, word: &str| {
        let rest = line.split_once(&format!(" {word}: {anchor}"));
        rest.is_some_and(|(_, rest)| rest.is_empty() || rest == " -->")
    };
    let mut lines = lines.skip_while(|line| !names(line, "ANCHOR"));
    lines.next().ok_or("the anchor does not begin")?;
    let mut passage = Vec::new();
    for line in lines {
        if names(&line, "ANCHOR_END") {
            return Ok(passage);
        }
        passage.push(line);
    }
    Err("the anchor does not end".to_owned())
}

/// Returns the exercises whose test does not exist: each item of the section names one in backquotes, in the chapter's file.
pub(crate) fn missing_solutions(chapters: &[Chapter]) -> Vec<String> {
    let mut missing = Vec::new();
    for chapter in chapters {
        let Some(section) = section(&chapter.text, "## Exercises") else {
            continue;
        };
        let path = format!("{ROOT}/book/solutions/tests/{}.rs", chapter.name());
        let solutions = fs::read_to_string(path).unwrap_or_default();
        for (at, exercise) in items(section).enumerate() {
            let mut quoted = exercise.split('`').skip(1).step_by(2);
            if !quoted.any(|word| solutions.contains(&format!("fn {word}("))) {
                let file = &chapter.file;
                missing.push(format!(
                    "{file}: exercise {} names no test of its file",
                    at + 1
                ));
            }
        }
    }
    missing
}

/// Returns the text of a section up to the next of its level.
pub(crate) fn section<'text>(text: &'text str, heading: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(&format!("\n{heading}\n"))?;
    Some(
        rest.split_once("\n## ")
            .map_or(rest, |(section, _)| section),
    )
}

/// Returns the items of a numbered list.
pub(crate) fn items(section: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<_> = section
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|&at| section[at..].starts_with(|c: char| c.is_ascii_digit()))
        .chain([section.len()])
        .collect();
    let pairs: Vec<_> = starts.windows(2).map(|two| (two[0], two[1])).collect();
    pairs.into_iter().map(|(from, to)| &section[from..to])
}
