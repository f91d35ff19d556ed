//! What goes wrong, where, and whose fault it is: the words every model uses.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::netstring::FramingError;

/// Who has to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The other end broke a rule.
    Peer,
    /// Nobody: the way between failed, or took too long.
    Network,
    /// This end: it gave up, or was asked to.
    Us,
}

/// Why a server closed a connection without answering a request (S4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The request is not `NAME.POEM`.
    #[error("no dot in the request")]
    NoDot,
    /// There is no transform of this name.
    #[error("unknown transform '{name}'")]
    UnknownTransform {
        /// The name asked for, escaped and cut short.
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
        /// What it said.
        cause: String,
    },
    /// The transform grew the poem beyond what a frame may hold.
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
    #[error("the peer closed in mid-request")]
    Truncated,
}

impl Refusal {
    /// The words the refusals are counted under (S23), in the order of [`Refusal::index`].
    pub const REASONS: [&'static str; 7] = [
        "no_dot",
        "unknown_transform",
        "not_utf8",
        "transform_failed",
        "reply_too_long",
        "framing",
        "truncated",
    ];

    /// Where this refusal stands in [`Refusal::REASONS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::NoDot => 0,
            Self::UnknownTransform { .. } => 1,
            Self::NotUtf8 { .. } => 2,
            Self::TransformFailed { .. } => 3,
            Self::ReplyTooLong { .. } => 4,
            Self::Framing(_) => 5,
            Self::Truncated => 6,
        }
    }

    /// The word this refusal is counted under.
    pub const fn reason(&self) -> &'static str {
        Self::REASONS[self.index()]
    }
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
    /// A failure at `peer`.
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

/// What can happen to a fetch (S11); the last three only to the transform after it (S13).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FetchFailure {
    /// The connection was never made: refused, unreachable, not resolved, or no answer in time.
    #[error("connection failed: {cause}")]
    ConnectionFailed {
        /// The last address's error.
        cause: String,
    },
    /// The connection was made and then broken.
    #[error("connection lost: {cause}")]
    ConnectionLost {
        /// What broke it.
        cause: String,
    },
    /// Nothing came for the idle timeout, or the total deadline passed.
    #[error("timed out: {0}")]
    TimedOut(Timeout),
    /// More bytes than allowed: a poem's, or those of a request that would not fit a frame.
    #[error("too long: over the limit of {limit} bytes")]
    TooLong {
        /// Bytes allowed.
        limit: u64,
    },
    /// The bytes are not text.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Bytes before the first bad one.
        at: u64,
    },
    /// Somebody asked for it to stop.
    #[error("cancelled")]
    Cancelled,
    /// The transform server closed without a reply.
    #[error("refused: closed without a reply")]
    Refused,
    /// The transform server's reply is not one netstring.
    #[error("the reply is not a netstring: {0}")]
    Garbled(FramingError),
    /// The transform server closed in the middle of its reply.
    #[error("the reply was cut short")]
    CutShort,
}

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Timeout {
    /// No byte for the idle timeout.
    #[error("nothing came for too long")]
    Idle,
    /// The total deadline of the poem.
    #[error("the total deadline passed")]
    Total,
}

impl FetchFailure {
    /// A connection that was never made, because of `cause`; or that was made and had broken before anybody looked: then
    /// it is one that was lost (S11). Whom nobody lets in is refused, not reset.
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

    /// A connection that broke, because of `cause`.
    pub fn connection_lost(cause: &io::Error) -> Self {
        Self::ConnectionLost {
            cause: cause.to_string(),
        }
    }

    /// A connection that was not made within the connect timeout.
    pub fn connect_timed_out() -> Self {
        Self::ConnectionFailed {
            cause: "no answer within the connect timeout".to_owned(),
        }
    }

    /// A connection whose two ends are the same socket: connecting to a free ephemeral port can pick that very port as
    /// the source, and TCP then connects the socket to itself. Nothing else listens there, so it counts as refused (S11).
    pub fn self_connected() -> Self {
        Self::ConnectionFailed {
            cause: "connected to itself: no server listens on this port".to_owned(),
        }
    }

    /// One word, for machines: the `status` of `fetch --json`.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::ConnectionFailed { .. } => "connection_failed",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::TimedOut(_) => "timed_out",
            Self::TooLong { .. } => "too_long",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Garbled(_) => "garbled",
            Self::CutShort => "cut_short",
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::ConnectionFailed { .. } | Self::ConnectionLost { .. } | Self::TimedOut(_) => {
                Fault::Network
            }
            Self::NotUtf8 { .. } | Self::Refused | Self::Garbled(_) | Self::CutShort => Fault::Peer,
            Self::TooLong { .. } | Self::Cancelled => Fault::Us,
        }
    }
}

/// The poem in bytes that have all arrived (S12).
///
/// # Errors
/// [`FetchFailure::NotUtf8`] with the first bad byte.
pub fn decode_poem(bytes: Vec<u8>) -> Result<String, FetchFailure> {
    String::from_utf8(bytes).map_err(|error| FetchFailure::NotUtf8 {
        at: error.utf8_error().valid_up_to() as u64,
    })
}

/// Whether an accept failed only for the connection it would have returned, which is gone or never came about: the next
/// may be there at once (S19). Anything else is taken for a shortage, and not tried again before
/// [`ACCEPT_RETRY`](crate::limits::ACCEPT_RETRY), lest the loop be busy (S17).
pub fn costs_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    /// It has no kind of its own.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_a_connection_that_broke_before_anybody_looked_was_lost() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe] {
            let failure = FetchFailure::connection_failed(&kind.into());
            assert!(matches!(failure, FetchFailure::ConnectionLost { .. }));
        }
    }

    #[test]
    fn s11_an_error_names_the_address_and_tells_what_happened() {
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
    fn s17_a_shortage_is_waited_out_and_s19_a_lost_connection_is_not() {
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
