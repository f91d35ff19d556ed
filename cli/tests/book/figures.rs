//! Figures: each is drawn again from what it shows and must be as it is kept. `QUATRAIN_BLESS=1` keeps the new drawing.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;

use super::ROOT;
use super::chapters::Chapter;
use super::support::{Scratch, quatrain};

/// The most lines in all records of a figure.
const LINES_MAX: usize = 1_000;

/// A drawing in `book/src/figures`, and what it is drawn from in `book/figures`.
pub(crate) struct Figure {
    pub(crate) name: String,
    of: Of,
}

/// What a figure shows.
enum Of {
    /// Which thread ran which task when: records of one run.
    Sheet(Vec<PathBuf>),
    /// Who sent what to whom: records of one run.
    Sequence(Vec<PathBuf>),
    /// A plot of the results that the README shows: the name of its scenario is in this file.
    Plot(PathBuf),
}

impl Figure {
    /// Returns the figure of an entry of `book/figures`: `NAME.jsonl`, `NAME.sequence.jsonl` or `NAME.plot`; instead of one record, a
    /// folder of several.
    fn of(entry: &Path) -> Self {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        let records = match entry.is_dir() {
            true => entries(entry),
            false => vec![entry.to_owned()],
        };
        let whole = name.strip_suffix(".jsonl").unwrap_or(&name);
        let (name, of) = if let Some(name) = whole.strip_suffix(".sequence") {
            (name, Of::Sequence(records))
        } else if let Some(name) = whole.strip_suffix(".plot") {
            (name, Of::Plot(entry.to_owned()))
        } else {
            (whole, Of::Sheet(records))
        };
        let name = name.to_owned();
        Self { name, of }
    }

    fn kept(&self) -> PathBuf {
        Path::new(ROOT).join(format!("book/src/figures/{}.svg", self.name))
    }

    /// Draws it with the command.
    fn draw(&self) -> Result<String, Failed> {
        let out = Scratch::path(&format!("figure-{}.svg", self.name));
        let mut command = match &self.of {
            Of::Sheet(_) => quatrain(["timeline", "--out", out.as_str()]),
            Of::Sequence(_) => quatrain(["timeline", "--sequence", "--out", out.as_str()]),
            Of::Plot(scenario) => {
                let scenario = fs::read_to_string(scenario)?;
                let measured = format!("{ROOT}/docs/measured");
                quatrain(["report", &measured, "--svg", scenario.trim()])
            }
        };
        if let Of::Sheet(records) | Of::Sequence(records) = &self.of {
            bound(records)?;
            command.args(records);
        }
        let ended = command.output()?;
        if !ended.status.success() {
            return Err(String::from_utf8_lossy(&ended.stderr).into_owned().into());
        }
        match &self.of {
            Of::Plot(_) => Ok(String::from_utf8(ended.stdout)?),
            Of::Sheet(_) | Of::Sequence(_) => Ok(out.read()),
        }
    }
}

/// Refuses records that are too long to be kept.
fn bound(records: &[PathBuf]) -> Result<(), Failed> {
    let mut lines = 0;
    for record in records {
        lines += fs::read_to_string(record)?.lines().count();
    }
    match lines <= LINES_MAX {
        true => Ok(()),
        false => Err(format!("{lines} lines of records; shorten the run").into()),
    }
}

/// Returns the figures: each entry of the folder is one.
pub(crate) fn all() -> Vec<Figure> {
    let figures = entries(format!("{ROOT}/book/figures"));
    figures.iter().map(|entry| Figure::of(entry)).collect()
}

/// Returns the entries of a folder, ordered by name.
fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// Draws a figure again.
pub(crate) fn compare(figure: &Figure) -> Result<(), Failed> {
    let new = figure.draw()?;
    if std::env::var_os("QUATRAIN_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(format!("{ROOT}/book/src/figures"))?;
        fs::write(figure.kept(), &new)?;
    }
    let kept = fs::read_to_string(figure.kept()).unwrap_or_default();
    if new != kept {
        let kept = figure.kept();
        return Err(format!("{} is not current: QUATRAIN_BLESS=1", kept.display()).into());
    }
    Ok(())
}

/// Returns the drawings that are drawn from nothing or that no chapter shows, and figures without words for those who do not see them.
pub(crate) fn unused(chapters: &[Chapter]) -> Vec<String> {
    let mut wrong = Vec::new();
    let figures = all();
    for drawing in entries(format!("{ROOT}/book/src/figures")) {
        let name = drawing.file_stem().unwrap().to_string_lossy().into_owned();
        if !figures.iter().any(|figure| figure.name == name) {
            wrong.push(format!(
                "{name}.svg has nothing in book/figures that it is drawn from"
            ));
        }
        let shown = format!("](figures/{name}.svg)");
        if !chapters.iter().any(|chapter| chapter.text.contains(&shown)) {
            wrong.push(format!("no chapter shows {name}.svg"));
        }
    }
    for chapter in chapters {
        if chapter.text.contains("![](") {
            wrong.push(format!("{}: a figure without words", chapter.file));
        }
    }
    wrong
}
