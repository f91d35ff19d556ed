//! Figures: each is drawn again from its records and must be as it is kept. `QUATRAIN_BLESS=1` keeps the new drawing.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;

use super::ROOT;
use super::chapters::Chapter;
use super::support::{Scratch, quatrain};

/// The most lines in all records of a figure.
const LINES_MAX: usize = 1_000;

/// A drawing in `book/src/figures`, and its records in `book/figures`.
pub(crate) struct Figure {
    pub(crate) name: String,
    records: Vec<PathBuf>,
}

impl Figure {
    fn drawing(&self) -> PathBuf {
        Path::new(ROOT).join(format!("book/src/figures/{}.svg", self.name))
    }
}

/// Returns the figures: a record, or a folder of records, is one.
pub(crate) fn all() -> Vec<Figure> {
    let figures = entries(format!("{ROOT}/book/figures"));
    let figures = figures.into_iter().map(|path| Figure {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        records: if path.is_dir() {
            entries(&path)
        } else {
            vec![path]
        },
    });
    figures.collect()
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
    let mut lines = 0;
    for record in &figure.records {
        lines += fs::read_to_string(record)?.lines().count();
    }
    if lines > LINES_MAX {
        return Err(format!("{lines} lines of records; shorten the run").into());
    }
    let drawn = Scratch::path(&format!("figure-{}.svg", figure.name));
    let mut draw = quatrain(["timeline", "--out", drawn.as_str()]);
    let ended = draw.args(&figure.records).output()?;
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned().into());
    }
    let new = drawn.read();
    if std::env::var_os("QUATRAIN_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(format!("{ROOT}/book/src/figures"))?;
        fs::write(figure.drawing(), &new)?;
    }
    let kept = fs::read_to_string(figure.drawing()).unwrap_or_default();
    if new != kept {
        let kept = figure.drawing();
        return Err(format!("{} is not current: QUATRAIN_BLESS=1", kept.display()).into());
    }
    Ok(())
}

/// Returns the drawings that have no record or that no chapter shows, and figures without words for those who do not see them.
pub(crate) fn unused(chapters: &[Chapter]) -> Vec<String> {
    let mut wrong = Vec::new();
    let figures = all();
    for drawing in entries(format!("{ROOT}/book/src/figures")) {
        let name = drawing.file_stem().unwrap().to_string_lossy().into_owned();
        if !figures.iter().any(|figure| figure.name == name) {
            wrong.push(format!("{name}.svg has no record in book/figures"));
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
