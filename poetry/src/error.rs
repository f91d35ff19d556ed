//! Errors: what went wrong, where, and whose fault it is, in the same words in every model.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::netstring::{Flaw, FramingError};

/// The party that has to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The peer broke a rule.
    Peer,
    /// The network failed or took too long.
    Network,
    /// This program: a limit was reached, or the user cancelled.
    Us,
}

/// Why a server closed a connection without answering a request (S4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The request is not `NAME.POEM`.
    #[error("no dot in the request")]
    NoDot,
    /// No transform has this name.
    #[error("unknown transform '{name}'")]
    UnknownTransform {
        /// The requested name, escaped and truncated.
        name: String,
    },
    /// The poem is not UTF-8.
    #[error("the poem is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Bytes of the poem before the first bad one.
        at: u64,
    },
    /// The transform itself failed.
    #[error("the transform {name} failed: {cause}")]
    TransformFailed {
        /// The transform's name.
        name: String,
        /// Its error message.
        cause: String,
    },
    /// The transformed poem does not fit in a frame.
    #[error("the reply of {length} bytes is over the frame limit of {limit}")]
    ReplyTooLong {
        /// Bytes of the reply.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The bytes are not a netstring.
    #[error("framing error at {0}")]
    Framing(FramingError),
    /// The peer finished sending in the middle of a request.
    #[error("the peer closed in the middle of a request")]
    Truncated,
    /// The library has no poem of this name (S8).
    #[error("unknown poem '{name}'")]
    UnknownPoem {
        /// The requested name, escaped and truncated.
        name: String,
    },
    /// The request cannot be the name of a poem (S8).
    #[error("'{name}' is not a poem's name")]
    BadPoemName {
        /// The request, escaped and truncated.
        name: String,
    },
}

impl Refusal {
    /// The names of the refusals in the counters (S23), in the order of [`Refusal::index`].
    pub const REASONS: [&'static str; 9] = [
        "no_dot",
        "unknown_transform",
        "not_utf8",
        "transform_failed",
        "reply_too_long",
        "framing",
        "truncated",
        "unknown_poem",
        "bad_poem_name",
    ];

    /// Returns the index of this refusal in [`Refusal::REASONS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::NoDot => 0,
            Self::UnknownTransform { .. } => 1,
            Self::NotUtf8 { .. } => 2,
            Self::TransformFailed { .. } => 3,
            Self::ReplyTooLong { .. } => 4,
            Self::Framing(_) => 5,
            Self::Truncated => 6,
            Self::UnknownPoem { .. } => 7,
            Self::BadPoemName { .. } => 8,
        }
    }

    /// Returns the name of this refusal in the counters.
    pub const fn reason(&self) -> &'static str {
        Self::REASONS[self.index()]
    }
}

/// Bytes of an unknown name that the log shows: more than any transform's name has, and enough to recognise a poem's.
pub(crate) const NAME_BYTES_SHOWN: usize = 32;

/// Returns a name from a request as the log shows it: escaped and truncated.
pub(crate) fn shown(name: &[u8]) -> String {
    let shown = &name[..name.len().min(NAME_BYTES_SHOWN)];
    let ellipsis = if shown.len() < name.len() { "…" } else { "" };
    format!("{}{ellipsis}", shown.escape_ascii())
}

impl From<FramingError> for Refusal {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

/// A fetch, or the transform after it, that failed: the address and the failure (S11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchError {
    /// The peer as the user named it, or its address.
    pub peer: String,
    /// What happened.
    pub failure: FetchFailure,
}

impl FetchError {
    /// Creates the error for `failure` at `peer`.
    pub fn new(peer: impl fmt::Display, failure: FetchFailure) -> Self {
        Self {
            peer: peer.to_string(),
            failure,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.peer, self.failure)
    }
}

impl std::error::Error for FetchError {}

/// How a fetch fails (S11). The last three happen only where the peer answers with a netstring: to a fetch from a library
/// (S8) and to a transform (S13).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FetchFailure {
    /// The connection was never established: refused, unreachable, name not resolved, or no answer in time.
    #[error("connection failed: {cause}")]
    ConnectionFailed {
        /// The error of the last address tried.
        cause: String,
    },
    /// The connection was established and then broke.
    #[error("connection lost: {cause}")]
    ConnectionLost {
        /// What broke it.
        cause: String,
    },
    /// The peer sent or took no byte within the idle timeout, or the total deadline passed.
    #[error("timed out: {0}")]
    TimedOut(Timeout),
    /// The poem exceeds its limit, or the request would exceed a frame.
    #[error("too long: over the limit of {limit} bytes")]
    TooLong {
        /// Bytes allowed.
        limit: u64,
    },
    /// The poem is not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Bytes before the first bad one.
        at: u64,
    },
    /// The poem is empty. Only a proxy takes that for a failure (S9).
    #[error("the poem is empty")]
    Empty,
    /// The caller cancelled the fetch.
    #[error("cancelled")]
    Cancelled,
    /// The server closed without a reply.
    #[error("refused: closed without a reply")]
    Refused,
    /// The server's reply is not one netstring.
    #[error("the reply is not a netstring: {0}")]
    Garbled(FramingError),
    /// The server closed in the middle of its reply.
    #[error("the reply was cut short")]
    CutShort,
}

/// Which timeout expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Timeout {
    /// The idle timeout of a read or a write.
    #[error("no data within the idle timeout")]
    Idle,
    /// The total deadline of the fetch.
    #[error("the total deadline passed")]
    Total,
}

impl FetchFailure {
    /// Returns the failure for a connect that ended with `cause`.
    ///
    /// A reset means that the connection was established and broke before the client noticed, so it counts as lost (S11).
    /// Connecting to a port without a listener is refused, not reset.
    pub fn connection_failed(cause: &io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::connection_lost(cause)
            }
            _ => Self::ConnectionFailed {
                cause: cause.to_string(),
            },
        }
    }

    /// Returns the failure for an established connection that broke because of `cause`.
    pub fn connection_lost(cause: &io::Error) -> Self {
        Self::ConnectionLost {
            cause: cause.to_string(),
        }
    }

    /// Returns the failure for a connection that was not established within the connect timeout.
    pub fn connect_timed_out() -> Self {
        Self::ConnectionFailed {
            cause: "no answer within the connect timeout".to_owned(),
        }
    }

    /// Returns the failure for a connection whose two ends are the same socket. Connecting to a free ephemeral port can
    /// pick that very port as the source, and TCP then connects the socket to itself. No server listens there, so the
    /// connection has failed (S11).
    pub fn self_connected() -> Self {
        Self::ConnectionFailed {
            cause: "connected to itself: no server listens on this port".to_owned(),
        }
    }

    /// Returns the failure for a library's reply that is not a netstring within the limit on poems (S8, S15).
    pub const fn bad_poem(error: FramingError) -> Self {
        match error.flaw {
            Flaw::OverLimit(limit) => Self::TooLong {
                limit: limit as u64,
            },
            _ => Self::Garbled(error),
        }
    }

    /// Returns the name of this failure in the output of `fetch --json`.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::ConnectionFailed { .. } => "connection_failed",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::TimedOut(_) => "timed_out",
            Self::TooLong { .. } => "too_long",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Empty => "empty",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Garbled(_) => "garbled",
            Self::CutShort => "cut_short",
        }
    }

    /// Returns whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::ConnectionFailed { .. } | Self::ConnectionLost { .. } | Self::TimedOut(_) => {
                Fault::Network
            }
            Self::NotUtf8 { .. }
            | Self::Empty
            | Self::Refused
            | Self::Garbled(_)
            | Self::CutShort => Fault::Peer,
            Self::TooLong { .. } | Self::Cancelled => Fault::Us,
        }
    }
}

/// Decodes a poem whose bytes have all arrived (S12).
///
/// # Errors
/// Fails with [`FetchFailure::NotUtf8`] and the place of the first bad byte.
pub fn decode_poem(bytes: Vec<u8>) -> Result<String, FetchFailure> {
    String::from_utf8(bytes).map_err(|error| FetchFailure::NotUtf8 {
        at: error.utf8_error().valid_up_to() as u64,
    })
}

/// Returns whether an accept failed only because of the connection it would have returned, so that the next connection can
/// be accepted at once (S19).
///
/// Any other error counts as a shortage: the server waits for [`ACCEPT_RETRY`](crate::limits::ACCEPT_RETRY) before it
/// accepts again, so that its loop is not busy (S17).
pub fn costs_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    /// `ErrorKind` has no variant for this error.
    const EPROTO: i32 = if cfg!(target_os = "linux") { 71 } else { 100 };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    ) || error.raw_os_error() == Some(EPROTO)
}

/// Returns whether making a socket failed because this process or the system has no free descriptor (S15, S17).
pub fn is_short_of_descriptors(error: &io::Error) -> bool {
    /// The same on Linux, macOS and the BSDs. `ErrorKind` has no variant for these errors.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Returns whether the error of a socket is EPIPE: the peer sent FIN and then reset the connection. What it sent before its FIN
/// has arrived and can still be read (S11). After a reset without FIN the error is ECONNRESET.
pub fn is_reset_after_fin(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_a_reset_after_fin_is_told_from_other_errors() {
        let after_fin = |code| is_reset_after_fin(&io::Error::from_raw_os_error(code));
        // EPIPE; ECONNRESET and ECONNREFUSED on Linux.
        assert!(after_fin(32));
        assert!(!after_fin(104) && !after_fin(111));
    }

    #[test]
    fn s15_a_shortage_of_descriptors_is_told_from_other_errors() {
        let short = |code| is_short_of_descriptors(&io::Error::from_raw_os_error(code));
        // ENFILE and EMFILE; ENOMEM, ECONNREFUSED.
        assert!(short(23) && short(24));
        assert!(!short(12) && !short(111));
        assert!(!is_short_of_descriptors(&io::Error::other("EMFILE")));
    }

    #[test]
    fn s11_a_connection_that_broke_before_the_client_looked_is_lost() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe] {
            let failure = FetchFailure::connection_failed(&kind.into());
            assert!(matches!(failure, FetchFailure::ConnectionLost { .. }));
        }
    }

    #[test]
    fn s11_an_error_names_the_address_and_the_failure() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failed = FetchError::new("127.0.0.1:1", FetchFailure::connection_failed(&refused));
        assert_eq!(
            failed.to_string(),
            "127.0.0.1:1: connection failed: connection refused"
        );
        assert_eq!(
            (failed.failure.status(), failed.failure.fault()),
            ("connection_failed", Fault::Network)
        );
    }

    #[test]
    fn s12_a_poem_is_decoded_whole() {
        assert_eq!(decode_poem("ü".as_bytes().to_vec()).unwrap(), "ü");
        assert_eq!(
            decode_poem(b"ab\xc3".to_vec()),
            Err(FetchFailure::NotUtf8 { at: 2 })
        );
    }

    #[test]
    fn s17_a_shortage_delays_the_next_accept_and_s19_a_lost_connection_does_not() {
        const LOST: [i32; 4] = [4, 71, 103, 113]; // EINTR, EPROTO, ECONNABORTED, EHOSTUNREACH on Linux.
        const SHORT: [i32; 4] = [12, 23, 24, 105]; // ENOMEM, ENFILE, EMFILE, ENOBUFS.
        if cfg!(target_os = "linux") {
            let costs = |code| costs_one_connection(&io::Error::from_raw_os_error(code));
            assert!(LOST.into_iter().all(costs));
            assert!(!SHORT.into_iter().any(costs));
        }
        assert!(!costs_one_connection(&io::Error::other("unknown")));
    }
}
