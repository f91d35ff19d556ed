//! The text of a file, and the places in it.

use super::{Flaw, Place};

/// A file in UTF-8.
pub(super) struct Text<'t> {
    text: &'t str,
    /// The offset at which each line begins.
    lines: Vec<usize>,
}

impl<'t> Text<'t> {
    /// Checks that the file is UTF-8.
    pub(super) fn new(bytes: &'t [u8]) -> Result<Self, Vec<Flaw>> {
        let (text, flawed_at) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.valid_up_to();
                let valid = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
                (valid, Some(at))
            }
        };
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        let text = Self { text, lines };
        match flawed_at {
            Some(at) => Err(vec![Flaw::at(text.place(at), "this is not UTF-8")]),
            None => Ok(text),
        }
    }

    pub(super) fn as_str(&self) -> &'t str {
        self.text
    }

    /// Returns the place of the byte at `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|&begin| begin <= offset);
        let begin = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(begin..offset).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }
}
