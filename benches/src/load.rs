//! The load generator: one thread, its own event loop, a closed loop over many connections.
//!
//! Every byte of every reply is compared; one wrong byte voids the run. Failed connects are counted, not retried. The
//! [`Ledger`] covers all traffic, warm-up included, and must agree exactly with the server's counts (MEASURING 1, 5, 6, 8).

mod connection;
mod engine;
mod hold;
mod ledger;
mod source;
mod timeline;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use hold::{Held, hold};
pub use ledger::Ledger;

use crate::exchange::Exchange;

/// A load: the server, the requests, and their number or duration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections kept busy at once.
    pub connections: usize,
    /// Requests in flight on each connection; with 1, each request waits for the previous reply.
    pub depth: usize,
    /// Whether a connection makes many requests. Otherwise it makes one, the server closes first (and so holds the
    /// TIME_WAIT), and a new connection replaces it.
    pub keep_alive: bool,
    /// The request and its reply.
    pub exchange: Exchange,
    /// The number of requests or the duration.
    pub extent: Extent,
    /// The run is given up when no byte arrives for this long.
    pub stall_timeout: Duration,
}

/// The number of requests, or the duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A duration. The warm-up is verified and in the ledger, but not in the figures.
    For {
        /// From the first connect; longer if connections are still being made by then.
        warm_up: Duration,
        /// The timed window.
        timed: Duration,
    },
    /// This many requests exactly, all of them in the window.
    Requests(u64),
}

impl Plan {
    /// The default stall timeout.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);

    /// Plans 64 busy keep-alive connections without pipelining, 600-byte poems, and one second after 250 ms of warm-up.
    ///
    /// # Errors
    /// None in practice: those of [`Exchange::cummingsify`].
    pub fn new(address: SocketAddr) -> Result<Self, LoadError> {
        Ok(Self {
            address,
            connections: 64,
            depth: 1,
            keep_alive: true,
            exchange: Exchange::cummingsify(crate::exchange::POEM_BYTES)
                .map_err(LoadError::Plan)?,
            extent: Extent::For {
                warm_up: Duration::from_millis(250),
                timed: Duration::from_secs(1),
            },
            stall_timeout: Self::STALL_TIMEOUT,
        })
    }

    fn check(&self) -> Result<(), LoadError> {
        let problem = if self.connections == 0 || self.depth == 0 {
            "connections and depth are at least 1"
        } else if !self.keep_alive && self.depth > 1 {
            "one-shot connections carry one request: the depth must be 1"
        } else if self.extent == Extent::Requests(0) {
            "the number of requests is at least 1"
        } else if self.exchange.request.is_empty() || self.exchange.reply.is_empty() {
            "neither request nor reply may be empty"
        } else {
            return Ok(());
        };
        Err(LoadError::Plan(problem.to_owned()))
    }
}

/// The result of a run, all of it verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Replies in the timed window.
    pub answered: u64,
    /// The actual length of the timed window.
    pub elapsed: Duration,
    /// The actual length of the warm-up, which was discarded.
    pub warm_up: Duration,
    /// From the first connect to the first whole reply.
    pub first_reply: Duration,
    /// Connections that could not be made. Each leaves one fewer busy connection.
    pub connect_errors: u64,
    /// Processor time of the generator itself in the window.
    pub client_cpu: Option<Duration>,
    /// Everything from the first connect to the last close.
    pub ledger: Ledger,
}

impl Report {
    /// Replies per second in the window.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// An end of the timed window, with the replies up to then, including those of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The window opens.
    Begin {
        /// Replies up to now.
        answered: u64,
    },
    /// The window closes; replies in flight are still awaited.
    End {
        /// Replies up to now.
        answered: u64,
    },
}

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
    /// No byte came for the stall timeout.
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

/// Runs `plan` in this thread.
///
/// # Errors
/// Why the run is void. There are no figures then.
pub fn run(plan: &Plan) -> Result<Report, LoadError> {
    run_marked(plan, &mut |_| {})
}

/// Like [`run`], but calls `mark` at both ends of the timed window, where the server's cost is read.
///
/// # Errors
/// As [`run`].
pub fn run_marked(plan: &Plan, mark: &mut dyn FnMut(Mark)) -> Result<Report, LoadError> {
    plan.check()?;
    engine::Engine::new(plan)?.run(mark)
}
