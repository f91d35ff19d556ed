//! How the command ends: its exit statuses (S11, S21), and the one line that says why it could not start.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::lossy::Lossy;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// All arrived, or all that was in flight finished: 0.
    Fine,
    /// Something failed or was cut: 1.
    Trouble,
    /// It could not start: 2.
    NotStarted,
}

impl Status {
    /// The number the parent process gets.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Trouble => 1,
            Self::NotStarted => 2,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// What a subcommand returns.
pub(crate) type Ended = Result<Status, Failure>;

/// Why the command ended before its work was done: a line for the user that names the culprit and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// The command could not start (status 2).
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            status: Status::NotStarted,
            message: message.to_string(),
        }
    }

    /// The command started and then found something wrong (status 1).
    pub(crate) fn trouble(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Trouble,
            message: message.to_string(),
        }
    }

    /// Says it, and gives the status to end with.
    pub(crate) fn say(&self, stderr: &Lossy) -> Status {
        stderr.line(format_args!("quatrain: {}", self.message));
        self.status
    }
}

/// What the system said, without the number it adds.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_has_no_number() {
        let error = io::Error::from_raw_os_error(nix::libc::ENOENT);
        assert_eq!(cause(&error), "No such file or directory");
        assert_eq!(cause(&io::Error::other("mine")), "mine");
    }
}
