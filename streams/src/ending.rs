//! Why a server's connection ends early. It is an error, and so the last item of a stream (L4).

use std::io;

use poetry::{CloseReason, Refusal};

/// Why a connection ends although its peer has not finished.
#[derive(Debug)]
pub(crate) enum Ending {
    /// A request was refused (S4).
    Refused(Refusal),
    /// A handler panicked, with this message (S20).
    Panicked(String),
    /// No request came within the idle timeout.
    Idle,
    /// A request was not complete by its deadline.
    Deadline,
    /// The peer took no byte for the write timeout.
    Write,
    /// The server stops and nothing was in flight.
    Stopped,
    /// The connection broke.
    Broken,
}

impl Ending {
    /// The reason that the connection is counted as closed for (S23).
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

    /// Whether a lingering close must protect earlier replies (S7).
    pub(crate) fn lingers(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Panicked(_))
    }
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}
