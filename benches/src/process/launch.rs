//! How a server is started, and why one is of no use.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take to print its line, or to end once it has been asked to: longer than any grace.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The core it is confined to, with all its threads; any core if none.
    pub core: Option<usize>,
    /// The file it writes its counts to when it ends (`--stats`, which must be among the arguments), if it does.
    pub stats: Option<PathBuf>,
    /// Whether what it says on stderr is thrown away. It is passed on otherwise.
    pub quiet: bool,
    /// How long it may take to print its line, or to end once it has been asked to: [`PATIENCE`].
    pub patience: Duration,
}

impl Launch {
    /// `program` with `args` on any core, without counts.
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            core: None,
            stats: None,
            quiet: false,
            patience: PATIENCE,
        }
    }

    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }

    pub(super) fn late(&self, what: &'static str) -> ProcessError {
        ProcessError::Late {
            program: self.name(),
            what,
            after: self.patience,
        }
    }
}

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {program}: {cause}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It ended before it served.
    #[error("{program} ended before it served: {status}")]
    Ended {
        /// The program.
        program: String,
        /// How.
        status: String,
    },
    /// Its first line is not the one expected.
    #[error("{program} printed {line:?}, which is not `Serving … on HOST:PORT with …`")]
    Line {
        /// The program.
        program: String,
        /// The line.
        line: String,
    },
    /// It did not print its line, or did not end, in time.
    #[error("{program} did not {what} within {after:?}")]
    Late {
        /// The program.
        program: String,
        /// What it did not do.
        what: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// The counts it left cannot be read.
    #[error("the counts in {file}: {cause}")]
    Stats {
        /// The file.
        file: String,
        /// Why not.
        cause: String,
    },
    /// The system refused something else.
    #[error("{0}")]
    System(#[from] io::Error),
}
