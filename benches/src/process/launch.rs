//! How to start a server, and the errors of starting and stopping one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take to print its line, and to end after SIGTERM: longer than any grace.
pub const START_STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The core that all its threads are pinned to, if any.
    pub core: Option<usize>,
    /// The port that it was told to listen on, on 127.0.0.1. Without one, its line says where it serves.
    pub port: Option<u16>,
    /// The file it writes its counts to when it ends, if any; the arguments must name it (`--stats`).
    pub stats: Option<PathBuf>,
    /// Ctrl-C in the terminal does not reach it, but only this program, which then stops it.
    pub sheltered: bool,
    /// Discards its stderr, which is inherited otherwise.
    pub quiet: bool,
    /// How long it may take to print its line, and to end after SIGTERM; [`START_STOP_TIMEOUT`] by default.
    pub timeout: Duration,
}

impl Launch {
    /// Starts `program` with `args`, unpinned and without counts.
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            core: None,
            port: None,
            stats: None,
            sheltered: false,
            quiet: false,
            timeout: START_STOP_TIMEOUT,
        }
    }

    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }

    pub(super) fn late(&self, what: &'static str) -> ProcessError {
        ProcessError::Late {
            program: self.name(),
            what,
            after: self.timeout,
        }
    }
}

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {program}: {cause}")]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        cause: io::Error,
    },
    /// It ended before it printed its line.
    #[error("{program} ended before it served: {status}")]
    Ended {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
    },
    /// Its first line is another one.
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
        /// The timeout.
        after: Duration,
    },
    /// Its counts cannot be read.
    #[error("cannot read the server's counts from {file}: {cause}")]
    Stats {
        /// The file.
        file: String,
        /// Why not.
        cause: String,
    },
    /// Another system call failed.
    #[error("{0}")]
    System(#[from] io::Error),
}
