//! Parts: each has what a chapter of the book promises, and each difference from the tutorial's programs is told in one of them.

use std::fs;

use super::ROOT;
use super::chapters::Chapter;
use super::passages::{included, items, section};

/// The parts of the tutorial.
const PARTS: usize = 22;
/// The least lines of an idea.
const IDEA_LINES_MIN: usize = 12;
/// The least exercises of a part.
const EXERCISES_MIN: usize = 2;

const MODELS: [&str; 4] = ["Callbacks", "Actors", "Streams", "Blocking"];
/// The languages of the tutorial, as blocks of code name them.
const LANGUAGES: [&str; 3] = ["python", "erlang", "haskell"];

/// Returns what parts lack.
pub(crate) fn incomplete(chapters: &[Chapter]) -> Vec<String> {
    let mut wrong = Vec::new();
    for number in 1..=PARTS {
        let file = format!("part-{number:02}.md");
        match chapters.iter().find(|chapter| chapter.file == file) {
            Some(part) => wrong.extend(lacks(part, chapters)),
            None => wrong.push(format!("there is no {file}")),
        }
    }
    wrong
}

/// Returns what one part lacks.
pub(crate) fn lacks(part: &Chapter, chapters: &[Chapter]) -> Vec<String> {
    let mut lacks: Vec<String> = Vec::new();
    if !has_idea(part) {
        lacks.push("an idea, in prose before the first section".to_owned());
    }
    if figures(part).is_empty() {
        lacks.push("a figure".to_owned());
    }
    for figure in figures(part) {
        let others = chapters.iter().filter(|other| other.file != part.file);
        for other in others.filter(|other| figures(other).contains(&figure)) {
            lacks.push(format!(
                "a figure of its own: {} shows {figure} too",
                other.file
            ));
        }
    }
    let models = MODELS.iter().filter(|model| !has_passage(part, model));
    lacks.extend(models.map(|model| format!("a passage of {model}, in a section of that name")));
    let peer = |block: &Block| LANGUAGES.contains(&block.language.as_str());
    if !passages(&part.text).iter().any(peer) {
        lacks.push("a passage in a language of the tutorial".to_owned());
    }
    let lab = |text: &str| text.contains("\n```sh lab\n");
    let exercises = |text: &str| items(text).count() >= EXERCISES_MIN;
    let words = |text: &str| text.split_whitespace().count() > 20;
    for (heading, has) in [
        ("Lab", &lab as &dyn Fn(&str) -> bool),
        ("Exercises", &exercises),
        ("Where we differ", &words),
    ] {
        if !section(&part.text, &format!("## {heading}")).is_some_and(has) {
            lacks.push(format!("a section '{heading}' with something in it"));
        }
    }
    let file = &part.file;
    lacks
        .into_iter()
        .map(|what| format!("{file} lacks {what}"))
        .collect()
}

fn has_idea(part: &Chapter) -> bool {
    let idea = part.text.split("\n## ").next().unwrap_or_default();
    let lines = idea.lines().skip(1).filter(|line| !line.trim().is_empty());
    lines.count() >= IDEA_LINES_MIN && !idea.contains("```")
}

/// Returns the figures that a chapter shows.
fn figures(chapter: &Chapter) -> Vec<&str> {
    let shown = chapter.text.split("](figures/").skip(1);
    shown
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect()
}

/// A block of code that is included: its language and its source.
struct Block {
    language: String,
    source: String,
}

fn passages(text: &str) -> Vec<Block> {
    let chapter = Chapter {
        file: String::new(),
        text: text.to_owned(),
    };
    let blocks = chapter.blocks().into_iter().flat_map(|block| {
        let language = block.info.split(',').next().unwrap_or_default().to_owned();
        let sources = block.lines.into_iter().filter_map(|line| {
            let source = included(&line)?.to_owned();
            Some(Block {
                language: language.clone(),
                source,
            })
        });
        sources.collect::<Vec<_>>()
    });
    blocks.collect()
}

/// Whether a section that has the model's name shows a passage of its crate.
fn has_passage(part: &Chapter, model: &str) -> bool {
    let folder = format!("../../{}/", model.to_lowercase());
    let heading = format!("\n### {model}\n");
    let sections = part.text.split(&heading).skip(1);
    let mut sections = sections.map(|rest| rest.split("\n##").next().unwrap_or_default());
    sections.any(|section| {
        let passages = passages(section);
        let own = |block: &Block| block.language == "rust" && block.source.starts_with(&folder);
        passages.iter().any(own)
    })
}

/// Returns the models whose ladder the page of the ladders does not include.
pub(crate) fn missing_ladders(chapters: &[Chapter]) -> Vec<String> {
    let page = chapters.iter().find(|chapter| chapter.file == "ladders.md");
    let text = page.map_or("", |page| page.text.as_str());
    let include = |model: &&str| {
        let model = model.to_lowercase();
        text.contains(&format!("{{{{#include ../../{model}/README.md:ladder}}}}"))
    };
    let missing = MODELS.iter().filter(|model| !include(model));
    missing
        .map(|model| format!("ladders.md does not include that of {model}"))
        .collect()
}

/// What begins the name of a difference.
const DIFFERS: &str = "differs-";

/// Returns what is wrong with the differences of section 7 of the rules: each has a name, by which exactly one part links to it, in the
/// section where it says how we differ.
pub(crate) fn differences(chapters: &[Chapter]) -> Vec<String> {
    let rules = fs::read_to_string(format!("{ROOT}/SEMANTICS.md")).expect("SEMANTICS.md");
    let table = rules.split("\n## 7.").nth(1).expect("section 7");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    // After the heading of the table and the line below it.
    untold(rows.skip(1), chapters)
}

/// Returns the rows without a name, and those that are not told once.
pub(crate) fn untold<'row>(
    rows: impl Iterator<Item = &'row str>,
    chapters: &[Chapter],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows {
        let name = row.split("<a id=\"").nth(1);
        let name = name.and_then(|rest| Some(rest.split_once('"')?.0));
        let Some(name) = name.filter(|name| name.starts_with(DIFFERS)) else {
            wrong.push(format!("a difference without a name: {row}"));
            continue;
        };
        let link = format!("](rules.md#{name})");
        let telling = chapters
            .iter()
            .filter(|chapter| chapter.text.contains(&link));
        let telling: Vec<_> = telling.map(|chapter| chapter.file.as_str()).collect();
        let [one] = telling[..] else {
            wrong.push(format!("{name} is told in {telling:?}, not in one chapter"));
            continue;
        };
        let chapter = chapters.iter().find(|chapter| chapter.file == one);
        let differ = chapter.and_then(|chapter| section(&chapter.text, "## Where we differ"));
        if !differ.is_some_and(|text| text.contains(&link)) {
            wrong.push(format!(
                "{one} tells {name} elsewhere than in 'Where we differ'"
            ));
        }
    }
    wrong
}
