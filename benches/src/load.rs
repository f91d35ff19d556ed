//! The load generator: one thread, its own event loop, a closed loop over many connections.
//!
//! Every byte of every reply is compared; one wrong byte voids the run. Connections that cannot be made are counted
//! and never tried again. What was sent and received, warm-up included, is in a [`Ledger`] that must agree exactly
//! with what the server counted (MEASURING 1, 5, 6, 8).

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

/// What is sent, to whom, how and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections kept busy at once.
    pub connections: usize,
    /// Requests under way on each connection: 1 waits for each reply before the next request.
    pub depth: usize,
    /// Many requests on each connection. Otherwise one, after which the server closes first (and so holds the
    /// TIME_WAIT), and a new connection takes its place.
    pub keep_alive: bool,
    /// The request and its reply.
    pub exchange: Exchange,
    /// When to stop.
    pub extent: Extent,
    /// How long nothing at all may come before the run is given up.
    pub stall_timeout: Duration,
}

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// For so long. What happens in the warm-up is verified and in the ledger, but not in the figures.
    For {
        /// From the first connect; the window opens later if not all connections have been made by then.
        warm_up: Duration,
        /// The window that is timed.
        timed: Duration,
    },
    /// Exactly so many requests, all of them in the window.
    Requests(u64),
}

impl Plan {
    /// How long nothing may come, unless told otherwise.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);

    /// 64 busy connections, no pipelining, keep-alive, 600-byte poems, for a second after a quarter to warm up.
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
        let flaw = if self.connections == 0 || self.depth == 0 {
            "connections and depth are at least 1"
        } else if !self.keep_alive && self.depth > 1 {
            "one-shot connections carry one request: the depth must be 1"
        } else if self.extent == Extent::Requests(0) {
            "no request is asked for"
        } else if self.exchange.request.is_empty() || self.exchange.reply.is_empty() {
            "an exchange has a request and a reply"
        } else {
            return Ok(());
        };
        Err(LoadError::Plan(flaw.to_owned()))
    }
}

/// What a run found. All of it was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Replies in the timed window.
    pub answered: u64,
    /// The timed window's true length.
    pub elapsed: Duration,
    /// What was discarded before the window, its true length.
    pub warm_up: Duration,
    /// From the first connect to the first whole reply.
    pub first_reply: Duration,
    /// Connections that could not be made. Each lowers the number kept busy by one.
    pub connect_errors: u64,
    /// Processor time that the generator itself used in the window.
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

/// Where the timed window opens and closes, with the replies by then, those of the warm-up too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It opens.
    Begin {
        /// Replies until now.
        answered: u64,
    },
    /// It closes; what is under way is still awaited.
    End {
        /// Replies until now.
        answered: u64,
    },
}

/// Why a run is void.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(String),
    /// A byte of a reply is not what it must be.
    #[error("reply {reply}: byte {at} is {found:#04x} where {expected:#04x} is right")]
    WrongByte {
        /// Replies that were right before it, on all connections.
        reply: u64,
        /// Bytes of the reply before it.
        at: usize,
        /// What is right.
        expected: u8,
        /// What came.
        found: u8,
    },
    /// More bytes came than were owed: a reply too many.
    #[error("{bytes} bytes more than were asked for")]
    Excess {
        /// How many.
        bytes: usize,
    },
    /// The server closed while it owed bytes, or while the connection was to be kept.
    #[error("closed by the server, with {owed} bytes of replies owed")]
    ClosedEarly {
        /// How many.
        owed: usize,
    },
    /// A connection broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// Nothing came for the stall timeout.
    #[error("nothing came for {after:?} on {open} connections")]
    Stalled {
        /// The stall timeout.
        after: Duration,
        /// Connections that were open.
        open: usize,
    },
    /// No connection could be made, or none was left.
    #[error("no connection could be made: {0}")]
    NoConnection(io::Error),
    /// The generator itself failed.
    #[error("the load generator: {0}")]
    Generator(#[from] io::Error),
}

/// Carries out `plan` in this thread.
///
/// # Errors
/// Why the run is void. There are no figures then.
pub fn run(plan: &Plan) -> Result<Report, LoadError> {
    run_marked(plan, &mut |_| {})
}

/// Like [`run`], and calls `mark` at both ends of the timed window: the place to read what the server has cost.
///
/// # Errors
/// As [`run`].
pub fn run_marked(plan: &Plan, mark: &mut dyn FnMut(Mark)) -> Result<Report, LoadError> {
    plan.check()?;
    engine::Engine::new(plan)?.run(mark)
}
