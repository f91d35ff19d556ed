//! What is wrong in a file of services, and where.

use std::fmt;
use std::path::Path;

use crate::failure::{Failure, without_number};
use crate::line_writer::LineWriter;
use crate::words::shown;

/// Flaws of a file that are reported; a file of another kind would have one in every line.
const REPORTED_MAX: usize = 20;

/// A line and a column, both from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// The start of a file.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// One flaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    place: Option<Place>,
    message: String,
}

impl Flaw {
    /// Creates the flaw at `place`, whose message is one line.
    pub(crate) fn at(place: Place, message: impl fmt::Display) -> Self {
        Self {
            place: Some(place),
            message: in_one_line(&without_number(&message.to_string())),
        }
    }
}

/// Joins the lines of `message`, and escapes what else would move a terminal's cursor.
fn in_one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    shown(Path::new(&lines.join("; ")))
}

/// The flaws of one file.
#[derive(Debug)]
pub(crate) struct Flaws {
    file: String,
    found: Vec<Flaw>,
}

impl Flaws {
    /// No flaw of `file` yet.
    pub(crate) fn of(file: &Path) -> Self {
        let (file, found) = (shown(file), Vec::new());
        Self { file, found }
    }

    /// Adds `found`.
    pub(crate) fn with(mut self, found: impl IntoIterator<Item = Flaw>) -> Self {
        self.found.extend(found);
        self.found.sort_by_key(|flaw| flaw.place);
        self
    }

    /// The file cannot be read.
    pub(crate) fn unreadable(self, cause: impl fmt::Display) -> Self {
        let message = format!("cannot be read: {cause}; give the path of a file of services");
        let place = None;
        self.with([Flaw { place, message }])
    }

    /// Returns a line for each flaw, in the order of the file, and one for those that are not reported.
    pub(crate) fn lines(&self) -> Vec<String> {
        let file = &self.file;
        let line = |flaw: &Flaw| match flaw.place {
            Some(place) => format!("{file}:{place}: {}", flaw.message),
            None => format!("{file} {}", flaw.message),
        };
        let mut lines: Vec<_> = self.found.iter().take(REPORTED_MAX).map(line).collect();
        if let Some(more @ 1..) = self.found.len().checked_sub(REPORTED_MAX) {
            lines.push(format!("{file} has {more} more flaws"));
        }
        lines
    }

    /// Writes all lines but the last, which becomes the failure to start.
    pub(crate) fn fail(self, stderr: &LineWriter) -> Failure {
        let mut lines = self.lines();
        let last = lines.pop().unwrap_or_default();
        for line in lines {
            stderr.line(format_args!("quatrain: {line}"));
        }
        Failure::new(last)
    }
}
