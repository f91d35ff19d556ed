//! Why a run of the load generator is void.

use std::io;
use std::time::Duration;

/// Why a run is void.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(String),
    /// A byte of a reply is wrong.
    #[error(
        "reply {reply} is wrong: expected {expected:#04x} as byte {at}, the server sent {found:#04x}"
    )]
    WrongByte {
        /// Correct replies before it, on all connections.
        reply: u64,
        /// Bytes of the reply before it.
        at: usize,
        /// The correct byte.
        expected: u8,
        /// The byte that came.
        found: u8,
    },
    /// Bytes came beyond the replies owed.
    #[error("the server sent {bytes} bytes more than the replies owed")]
    Excess {
        /// Their number.
        bytes: usize,
    },
    /// The server closed while it owed bytes, or between the requests of a keep-alive connection.
    #[error("the server closed the connection with {owed} bytes of replies owed")]
    ClosedEarly {
        /// Their number.
        owed: usize,
    },
    /// A connection broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// No byte came for the stall timeout, although a reply was owed.
    #[error("no byte came for {after:?} on {open} open connections")]
    Stalled {
        /// The stall timeout.
        after: Duration,
        /// Open connections.
        open: usize,
    },
    /// No connection could be made, or none is left.
    #[error("no connection could be made: {0}")]
    NoConnection(io::Error),
    /// The generator itself failed.
    #[error("the load generator failed: {0}")]
    Generator(#[from] io::Error),
}
