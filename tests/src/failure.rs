//! What is said when a case fails, or does not apply, and the comparisons that say it well.

use std::fmt::{self, Debug, Display};
use std::io;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The subject broke a rule: what was expected, and what came.
    Broken(String),
    /// The subject, or this machine, does not offer what the case needs.
    Needs(String),
}

/// The result of a step of a case.
pub type Check<T = ()> = Result<T, Failure>;

impl Failure {
    /// A rule broken, in words.
    pub fn broken(words: impl Into<String>) -> Self {
        Self::Broken(words.into())
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(words) => out.write_str(words),
            Self::Needs(what) => write!(out, "needs {what}"),
        }
    }
}

/// Says what was being done when an error came.
pub trait During<T> {
    /// The value, or a failure that begins with `doing`.
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

/// What the system gave, or a failure that begins with `doing`; a process that may have no more descriptors lacks what
/// the case needs, and nobody is at fault.
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

/// Fails with the words of `said` unless `holds`.
///
/// # Errors
/// The failure.
pub fn ensure(holds: bool, said: impl FnOnce() -> String) -> Check {
    if holds {
        Ok(())
    } else {
        Err(Failure::Broken(said()))
    }
}

/// Fails unless `came` is `expected`.
///
/// # Errors
/// Both values, and of `what`.
pub fn equal<T: PartialEq + Debug>(what: &str, came: &T, expected: &T) -> Check {
    ensure(came == expected, || {
        format!("{what}: expected {expected:?}, came {came:?}")
    })
}

/// Fails unless the bytes are the same.
///
/// # Errors
/// Where they part, and both sides from there, shortened and escaped.
pub fn same_bytes(what: &str, came: &[u8], expected: &[u8]) -> Check {
    ensure(came == expected, || {
        let parts = came.iter().zip(expected).take_while(|(a, b)| a == b);
        let at = parts.count();
        format!(
            "{what}: expected {} bytes, came {}; they part at byte {at}: expected '{}', came '{}'",
            expected.len(),
            came.len(),
            shown(&expected[at..]),
            shown(&came[at..])
        )
    })
}

/// At most 60 of the bytes, escaped.
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
    fn bytes_are_shown_from_where_they_part_shortened_and_escaped() {
        let failure = same_bytes("the reply", b"2:ab,", b"2:a\x00").unwrap_err();
        let said =
            "the reply: expected 4 bytes, came 5; they part at byte 3: expected '\\x00', came 'b,'";
        assert_eq!(failure.to_string(), said);
        assert!(shown(&[b'a'; 500]).ends_with("a…"));
        assert!(shown(&[b'a'; 500]).len() < 70);
    }

    #[test]
    fn out_of_descriptors_is_nobodys_failure() {
        let failure = os_result::<()>(Err(io::Error::from_raw_os_error(24)), "connecting");
        assert!(matches!(failure, Err(Failure::Needs(_))));
        let failure = os_result::<()>(Err(io::ErrorKind::NotFound.into()), "connecting");
        assert!(matches!(failure, Err(Failure::Broken(_))));
    }

    #[test]
    fn an_error_says_what_was_being_done() {
        let failed: Result<(), _> = Err("no way");
        let failure = failed.during("sending the request").unwrap_err();
        assert_eq!(failure.to_string(), "sending the request: no way");
    }
}
