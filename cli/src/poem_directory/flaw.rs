//! Why a file of a library cannot be served, and what to do about it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use poetry::PoemName;
use poetry::library::BadName;
use poetry::limits::{LIBRARY_BYTES_MAX, LIBRARY_POEMS_MAX, POEM_BYTES_MAX};
use tracing::warn;

use crate::words::{counted, shown};

/// Files that are named in the log at one reading: a screenful, so that a wrong directory does not flood the log.
const NAMED_MAX: u64 = 40;

/// Why a file cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NotAName,
    /// Another file has the same name but for its ending.
    Twice {
        name: PoemName,
        other: OsString,
    },
    Unreadable(String),
    NotUtf8 {
        at: usize,
    },
    TooLong {
        limit: usize,
    },
    /// With it, the library would have more bytes than it may.
    LibraryFull,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAName => write!(out, "{BadName}; rename it"),
            Self::Twice { name, other } => {
                let other = shown(Path::new(other));
                write!(out, "{other} is called {name} too; rename one of them")
            }
            Self::Unreadable(cause) => write!(out, "{cause}; make it a file that can be read"),
            Self::NotUtf8 { at } => write!(out, "not UTF-8 at byte {at}; save it as UTF-8"),
            Self::TooLong { limit } if *limit < POEM_BYTES_MAX => write!(
                out,
                "longer than the {limit} bytes of a frame; shorten it, or start the server with a larger --frame-bytes-max"
            ),
            Self::TooLong { limit } => {
                write!(out, "longer than {limit} bytes; shorten it")
            }
            Self::LibraryFull => write!(
                out,
                "the library would be longer than {LIBRARY_BYTES_MAX} bytes; serve it from another directory"
            ),
        }
    }
}

/// Reports the files of one reading that cannot be served.
pub(super) struct Flaws<'d> {
    directory: &'d Path,
    skipped: Tally,
    kept: Tally,
}

/// How many files there were, and how many of them the log does not name.
#[derive(Default)]
struct Tally {
    files: u64,
    unnamed: u64,
}

impl<'d> Flaws<'d> {
    /// Creates a report about `directory`.
    pub(super) fn new(directory: &'d Path) -> Self {
        Self {
            directory,
            skipped: Tally::default(),
            kept: Tally::default(),
        }
    }

    /// Returns how many files are skipped.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.files
    }

    /// Returns of how many files the earlier poems are still served.
    pub(super) fn kept(&self) -> u64 {
        self.kept.files
    }

    /// Reports that `file` is skipped.
    pub(super) fn report(&mut self, file: &OsStr, flaw: &Flaw) {
        self.skipped.files += 1;
        match self.may_name() {
            true => self.name(file, "skipped", flaw),
            false => self.skipped.unnamed += 1,
        }
    }

    /// Reports that `file` has become bad, and its earlier poem is still served.
    pub(super) fn report_kept(&mut self, file: &OsStr, flaw: &Flaw) {
        self.kept.files += 1;
        match self.may_name() {
            true => self.name(file, "still serving the earlier poem of", flaw),
            false => self.kept.unnamed += 1,
        }
    }

    fn may_name(&self) -> bool {
        self.skipped.files + self.kept.files <= NAMED_MAX
    }

    fn name(&self, file: &OsStr, what: &str, flaw: &Flaw) {
        let file = shown(&self.directory.join(file));
        warn!("{what} {file}: {flaw}");
    }

    /// Reports the files that have not been named, and `left_out`, which have not been looked at.
    pub(super) fn report_left_out(&self, left_out: u64) {
        let directory = shown(self.directory);
        for (what, unnamed) in [
            ("skipped", self.skipped.unnamed),
            ("still serving the earlier poems of", self.kept.unnamed),
        ] {
            if unnamed > 0 {
                warn!("{what} {} of {directory}", counted(unnamed, "more file"));
            }
        }
        if left_out > 0 {
            let files = counted(left_out, "file");
            warn!(
                "skipped {files} of {directory}: a library has at most {LIBRARY_POEMS_MAX} poems; divide it into several"
            );
        }
    }
}
