//! Names of processes, for people to read.

use std::fmt;

/// A process's name: a word, and a number if several processes share the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    word: &'static str,
    number: Option<u64>,
}

impl Name {
    /// Names the only process of its kind.
    pub const fn new(word: &'static str) -> Self {
        Self { word, number: None }
    }

    /// Names one process of several, such as `connection-7`.
    pub const fn numbered(word: &'static str, number: u64) -> Self {
        Self {
            word,
            number: Some(number),
        }
    }
}

impl From<&'static str> for Name {
    fn from(word: &'static str) -> Self {
        Self::new(word)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(out, "{}-{number}", self.word),
            None => out.write_str(self.word),
        }
    }
}
