//! How a connection of a server ends, when it is not simply done. An error is the last item of a stream (L4).

use std::io;

use poetry::{CloseReason, Refusal};

/// Why a stream of requests, or the sink of their replies, came to its end.
#[derive(Debug)]
pub(crate) enum Ending {
    /// A request was refused (S4).
    Refused(Refusal),
    /// A handler panicked, with this message (S20).
    Panicked(String),
    /// No request for the idle timeout.
    Idle,
    /// A request was not complete by its deadline.
    Deadline,
    /// The peer took no byte for the write timeout.
    Write,
    /// The server stops, and nothing was in flight.
    Stopped,
    /// The connection broke.
    Broken,
}

impl Ending {
    /// What the connection is counted under (S23).
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            Self::Refused(_) => CloseReason::Refused,
            Self::Panicked(_) => CloseReason::Panic,
            Self::Idle => CloseReason::Idle,
            Self::Deadline => CloseReason::Deadline,
            Self::Write => CloseReason::Write,
            Self::Stopped => CloseReason::Done,
            Self::Broken => CloseReason::Reset,
        }
    }

    /// Whether what was sent before must still reach the peer, by a lingering close (S7).
    pub(crate) fn lingers(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Panicked(_))
    }
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}
