//! Why a case did not pass, and comparisons with clear messages.

use std::fmt::{self, Debug, Display};
use std::io;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The subject broke a rule; the text says what was expected and what happened.
    Broken(String),
    /// The subject or this machine lacks what the case needs; the text names it.
    Needs(String),
}

/// The result of a step of a case.
pub type Check<T = ()> = Result<T, Failure>;

impl Failure {
    /// Creates [`Failure::Broken`] with `message`.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::Broken(message.into())
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(message) => out.write_str(message),
            Self::Needs(what) => write!(out, "needs {what}"),
        }
    }
}

/// Adds to an error what was being done when it occurred.
pub trait During<T> {
    /// Returns the value, or a failure whose message begins with `doing`.
    ///
    /// # Errors
    /// The failure.
    fn during(self, doing: &str) -> Check<T>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, doing: &str) -> Check<T> {
        self.map_err(|error| Failure::broken(format!("{doing}: {error}")))
    }
}

/// Returns the value, or a failure whose message begins with `doing`. At the limit of descriptors the case is skipped:
/// that is no fault of the subject.
///
/// # Errors
/// The failure.
pub fn os_result<T>(result: io::Result<T>, doing: &str) -> Check<T> {
    const EMFILE: i32 = 24; // On every Unix.
    match result {
        Err(error) if error.raw_os_error() == Some(EMFILE) => Err(Failure::Needs(
            "more descriptors than this process may have".to_owned(),
        )),
        result => result.during(doing),
    }
}

/// Fails with `message` unless `holds`.
///
/// # Errors
/// The failure.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds {
        Ok(())
    } else {
        Err(Failure::Broken(message()))
    }
}

/// Fails unless `actual` equals `expected`.
///
/// # Errors
/// They differ; the message shows both values of `what`.
pub fn equal<T: PartialEq + Debug>(what: &str, actual: &T, expected: &T) -> Check {
    ensure(actual == expected, || {
        format!("{what}: expected {expected:?}, got {actual:?}")
    })
}

/// Fails unless the bytes are the same.
///
/// # Errors
/// They differ; the message shows both from the first difference on, shortened and escaped.
pub fn same_bytes(what: &str, actual: &[u8], expected: &[u8]) -> Check {
    ensure(actual == expected, || {
        let common = actual.iter().zip(expected).take_while(|(a, b)| a == b);
        let at = common.count();
        format!(
            "{what}: expected {} bytes, got {}; they differ from byte {at}: expected '{}', got '{}'",
            expected.len(),
            actual.len(),
            shown(&expected[at..]),
            shown(&actual[at..])
        )
    })
}

/// Returns the first 60 bytes at most, escaped.
pub fn shown(bytes: &[u8]) -> String {
    const BYTES_SHOWN: usize = 60;
    let ellipsis = if bytes.len() > BYTES_SHOWN { "…" } else { "" };
    let head = &bytes[..bytes.len().min(BYTES_SHOWN)];
    format!("{}{ellipsis}", head.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_bytes_is_shown_from_its_first_byte_shortened_and_escaped() {
        let failure = same_bytes("the reply", b"2:ab,", b"2:a\x00").unwrap_err();
        let message = "the reply: expected 4 bytes, got 5; they differ from byte 3: expected '\\x00', got 'b,'";
        assert_eq!(failure.to_string(), message);
        assert!(shown(&[b'a'; 500]).ends_with("a…"));
        assert!(shown(&[b'a'; 500]).len() < 70);
    }

    #[test]
    fn the_limit_of_descriptors_skips_the_case() {
        let failure = os_result::<()>(Err(io::Error::from_raw_os_error(24)), "connecting");
        assert!(matches!(failure, Err(Failure::Needs(_))));
        let failure = os_result::<()>(Err(io::ErrorKind::NotFound.into()), "connecting");
        assert!(matches!(failure, Err(Failure::Broken(_))));
    }

    #[test]
    fn a_failure_begins_with_what_was_being_done() {
        let failed: Result<(), _> = Err("no way");
        let failure = failed.during("sending the request").unwrap_err();
        assert_eq!(failure.to_string(), "sending the request: no way");
    }
}
