//! A load: the server, the requests, when they are sent, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use super::LoadError;
use crate::exchange::Exchange;

/// Requests in flight on all connections together: their times take 128 MiB.
const IN_FLIGHT_MAX: usize = 1 << 24;

/// A load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections: as many are busy at once in a closed loop, and at most as many in an open loop.
    pub connections: usize,
    /// Requests in flight on each connection; with 1, each request waits for the previous reply. An open loop, a mix and one-shot
    /// connections need 1.
    pub depth: usize,
    /// Whether a connection makes many requests. Otherwise it makes one, the server closes first (and so holds the TIME_WAIT),
    /// and a new connection replaces it.
    pub keep_alive: bool,
    /// The request and its reply. If the request is empty, as for a poem server, nothing is sent, `keep_alive` must be false,
    /// and the reply ends with FIN.
    pub exchange: Exchange,
    /// When requests are sent.
    pub arrival: Arrival,
    /// Another exchange for some of the requests.
    pub mix: Option<Mix>,
    /// Clients that leave midway.
    pub leave: Option<Leave>,
    /// The number of requests or the duration.
    pub extent: Extent,
    /// The source addresses.
    pub sources: Sources,
    /// The most connections that wait for a first byte at a time, or for being made if they owe nothing yet: fewer than fit a
    /// server's backlog.
    pub pending_max: usize,
    /// The seed of everything random: gaps, mix and leaving.
    pub seed: u64,
    /// The run is given up when no byte arrives for this long although a reply is owed.
    pub stall_timeout: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrival {
    /// Closed loop: each connection sends its next request when a reply has arrived, so a slow server is asked less. A request is
    /// timed from its sending (one-shot: from the connect).
    Closed,
    /// Open loop: requests come due at a rate, independent of replies. A request that finds all connections busy waits, and is
    /// timed from the moment when it was due (no coordinated omission).
    Open {
        /// Requests per second, over all connections.
        rate: f64,
        /// How they are spread over time.
        gaps: Gaps,
    },
}

/// The gaps between the requests of an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Equal gaps: request *k* is due at *k* / rate from the start. What waits, waits for the server, not because requests
    /// happened to come in bunches.
    Equal,
    /// Exponential gaps by the seed, as of many independent clients: bunches queue even below the server's capacity.
    Exponential,
}

/// A share of the requests are another exchange; which ones, the seed decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// The share, above 0 and below 1.
    pub share: f64,
    /// The other exchange. It is timed apart.
    pub exchange: Exchange,
}

/// A share of one-shot clients reset their connection midway; which ones, the seed decides.
///
/// The ledger has what was received before that, so a server may well have sent more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leave {
    /// The share, above 0 and at most 1.
    pub share: f64,
    /// The bytes of a reply after which they leave, fewer than it has. With 0 they leave as soon as they are connected, or have
    /// sent their request.
    pub after: usize,
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

/// The source addresses of connections to a server on 127.0.0.0/8. Elsewhere the system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// One address, except where its ports would run out: then 127.0.0.1 to 127.0.0.254 in turn, each for 28,000 connections
    /// (MEASURING 8).
    Auto,
    /// Each connection from the next of this many addresses, from 127.0.0.1 on: as many hosts. Linux only.
    Each(NonZeroU8),
}

impl Plan {
    /// The default stall timeout.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);
    /// The highest rate of an open loop, in requests per second: ten times what one generator reaches.
    pub const RATE_MAX: f64 = 10e6;
    /// The default of [`Plan::pending_max`].
    pub const PENDING_MAX: usize = 1_024;

    /// Plans a closed loop over 64 keep-alive connections without pipelining, 600-byte poems, and one second after 250 ms of
    /// warm-up.
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
            arrival: Arrival::Closed,
            mix: None,
            leave: None,
            extent: Extent::For {
                warm_up: Duration::from_millis(250),
                timed: Duration::from_secs(1),
            },
            sources: Sources::Auto,
            pending_max: Self::PENDING_MAX,
            seed: 0,
            stall_timeout: Self::STALL_TIMEOUT,
        })
    }

    /// Checks that the plan can be carried out.
    ///
    /// # Errors
    /// [`LoadError::Plan`], with the reason.
    pub fn check(&self) -> Result<(), LoadError> {
        let problem = self
            .problem_of_connections()
            .or_else(|| self.problem_of_requests())
            .or_else(|| self.problem_of_options());
        match problem {
            Some(problem) => Err(LoadError::Plan(problem.to_owned())),
            None => Ok(()),
        }
    }

    fn problem_of_connections(&self) -> Option<&'static str> {
        if self.connections == 0 || self.depth == 0 || self.pending_max == 0 {
            Some("connections, depth and pending connections are at least 1")
        } else if self.connections.saturating_mul(self.depth) > IN_FLIGHT_MAX {
            Some("connections times depth are at most 16,777,216")
        } else if !self.keep_alive && self.depth > 1 {
            Some("one-shot connections carry one request: the depth must be 1")
        } else if self.depth > 1 && (self.is_open() || self.mix.is_some()) {
            Some("an open loop and a mix need depth 1")
        } else if matches!(self.sources, Sources::Each(_)) && !self.can_choose_sources() {
            Some("several source addresses need Linux and a server on 127.0.0.0/8")
        } else {
            None
        }
    }

    fn problem_of_requests(&self) -> Option<&'static str> {
        if self.extent == Extent::Requests(0) {
            Some("the number of requests is at least 1")
        } else if self.exchanges().any(|exchange| exchange.reply.is_empty()) {
            Some("a reply may not be empty")
        } else if self.keep_alive && self.exchanges().any(|exchange| exchange.request.is_empty()) {
            Some("without a request, the reply ends with FIN: such connections are one-shot")
        } else {
            None
        }
    }

    fn problem_of_options(&self) -> Option<&'static str> {
        let (mix, leave) = (&self.mix, &self.leave);
        let replies = || self.exchanges().map(|exchange| exchange.reply.len());
        match self.arrival {
            Arrival::Open { rate, .. } if !(rate > 0.0 && rate <= Self::RATE_MAX) => {
                Some("the rate is above 0 and at most 10,000,000 requests per second")
            }
            _ if mix
                .as_ref()
                .is_some_and(|mix| !(mix.share > 0.0 && mix.share < 1.0)) =>
            {
                Some("the share of a mix is above 0 and below 1")
            }
            _ if leave.is_some_and(|leave| !(leave.share > 0.0 && leave.share <= 1.0)) => {
                Some("the share of those that leave is above 0 and at most 1")
            }
            _ if leave.is_some() && self.keep_alive => Some("only one-shot clients leave"),
            _ if leave.is_some_and(|leave| replies().any(|reply| leave.after >= reply)) => {
                Some("clients can only leave before the end of the reply")
            }
            _ => None,
        }
    }

    /// The exchange, and the mix's other one.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        let other = self.mix.as_ref().map(|mix| &mix.exchange);
        [&self.exchange].into_iter().chain(other)
    }

    /// Whether connections can come from any address of 127.0.0.0/8.
    pub(super) fn can_choose_sources(&self) -> bool {
        let loopback = matches!(self.address.ip(), IpAddr::V4(ip) if ip.is_loopback());
        loopback && cfg!(target_os = "linux")
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.arrival, Arrival::Open { .. })
    }
}
