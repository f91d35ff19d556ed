//! How the command ends: its exit statuses (S11, S21), and the one line that says why it could not start.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::line_writer::LineWriter;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// All poems arrived, or all requests in flight finished: 0.
    Success,
    /// Something failed or was cut: 1.
    Trouble,
    /// It could not start: 2.
    NotStarted,
    /// A signal interrupted it: 128 and the signal's number, as shells report it; 130 for Ctrl-C.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
}

impl Status {
    /// Returns the number for the parent process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Trouble => 1,
            Self::NotStarted => 2,
            Self::Interrupted { signal } => 128 | u8::try_from(signal).unwrap_or_default(),
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// The result of a subcommand.
pub(crate) type Ended = Result<Status, Failure>;

/// Why the command ended early: a line for the user that names the culprit and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// Creates a failure to start (status 2).
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::with_status(Status::NotStarted, message)
    }

    /// Creates a failure after the start (status 1).
    pub(crate) fn trouble(message: impl fmt::Display) -> Self {
        Self::with_status(Status::Trouble, message)
    }

    /// Creates a failure that ends with `status`. Its line has no error numbers.
    pub(crate) fn with_status(status: Status, message: impl fmt::Display) -> Self {
        Self {
            status,
            message: without_number(&message.to_string()),
        }
    }

    /// Returns the message, without the command's name.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Writes the line, and returns the status to end with.
    pub(crate) fn report(&self, stderr: &LineWriter) -> Status {
        stderr.line(format_args!("quatrain: {}", self.message));
        self.status
    }
}

/// Returns the system's words for `error`.
pub(crate) fn cause(error: &io::Error) -> String {
    without_number(&error.to_string())
}

/// As [`cause`], for an error of starting threads: there the system's "try again" means that it starts none for now.
pub(crate) fn cause_at_start(error: &io::Error) -> String {
    match is_short_of_threads(error) {
        true => "the system starts no further thread; raise its limit (`ulimit -u`)".to_owned(),
        false => cause(error),
    }
}

/// Whether the system starts no further thread for now, if `error` is of starting threads (EAGAIN).
pub(crate) fn is_short_of_threads(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock && error.raw_os_error().is_some()
}

/// Removes the error numbers that Rust appends to the system's words, also in the middle of a sentence.
pub(crate) fn without_number(text: &str) -> String {
    let parts = text.split(" (os error ").enumerate();
    let words = parts.map(|(index, part)| match part.split_once(')') {
        Some((number, rest)) if index > 0 && number.parse::<i32>().is_ok() => rest,
        _ => part,
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_has_no_number() {
        let error = io::Error::from_raw_os_error(nix::libc::ENOENT);
        assert_eq!(cause(&error), "No such file or directory");
        assert_eq!(cause(&io::Error::other("mine")), "mine");
        let failure = Failure::new(format_args!("cannot open x: {error}; make (1) x"));
        assert_eq!(
            failure.message,
            "cannot open x: No such file or directory; make (1) x"
        );
    }

    #[test]
    fn a_start_without_a_thread_names_the_limit() {
        let missing = io::Error::from_raw_os_error(nix::libc::EAGAIN);
        let expected = "the system starts no further thread; raise its limit (`ulimit -u`)";
        assert_eq!(cause_at_start(&missing), expected);
        let own = io::Error::new(io::ErrorKind::WouldBlock, "mine");
        assert_eq!(cause_at_start(&own), "mine");
    }

    #[test]
    fn s11_an_interrupt_ends_with_the_status_that_shells_give_it() {
        let interrupted = |signal| Status::Interrupted { signal }.code();
        assert_eq!((interrupted(2), interrupted(15)), (130, 143));
    }
}
