//! The chapters as text and code blocks.

use std::fs;

use super::ROOT;

/// One page of the book.
#[derive(Clone)]
pub(crate) struct Chapter {
    /// The file's name, such as `part-06.md`.
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    /// What follows the opening fence, such as `sh lab`.
    pub(crate) info: String,
    pub(crate) lines: Vec<String>,
    /// The number of its first line.
    pub(crate) line: usize,
}

/// Reads every chapter, in the order of their names.
pub(crate) fn all() -> Vec<Chapter> {
    let folder = format!("{ROOT}/book/src");
    let mut chapters = Vec::new();
    for entry in fs::read_dir(folder).expect("book/src") {
        let path = entry.expect("an entry of book/src").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a chapter");
            chapters.push(Chapter { file, text });
        }
    }
    chapters.sort_by(|one, other| one.file.cmp(&other.file));
    assert!(
        chapters.len() > 24,
        "the book has fewer chapters than parts"
    );
    chapters
}

impl Chapter {
    /// Returns the name for tests, such as `part_06`.
    pub(crate) fn name(&self) -> String {
        self.file.trim_end_matches(".md").replace('-', "_")
    }

    /// Returns its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.split().1
    }

    /// Returns its lines outside fenced blocks, with their numbers.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        self.split().0
    }

    fn split(&self) -> (Vec<(usize, &str)>, Vec<Block>) {
        let (mut prose, mut blocks) = (Vec::new(), Vec::new());
        let mut open: Option<(&str, Block)> = None;
        for (at, line) in self.text.lines().enumerate() {
            let number = at + 1;
            let ticks = line.len() - line.trim_start_matches('`').len();
            match open.take() {
                Some((fence, block)) if line.trim_end() == fence => blocks.push(block),
                Some((fence, mut block)) => {
                    block.lines.push(line.to_owned());
                    open = Some((fence, block));
                }
                None if ticks >= 3 => {
                    let (fence, info) = line.split_at(ticks);
                    let block = Block {
                        info: info.to_owned(),
                        lines: Vec::new(),
                        line: number + 1,
                    };
                    open = Some((fence, block));
                }
                None => prose.push((number, line)),
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.file);
        (prose, blocks)
    }
}
