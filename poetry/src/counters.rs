//! The counters of every server (S23).
//!
//! A server has one [`Counters`] for each of its workers, so that no two cores share a cache line on the hot path;
//! [`Counts::of`] adds them up.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
pub use tallies::{Closed, Fetches, Refused};

mod sum;
mod tallies;

/// Why a server's connection was closed. Each connection is closed for exactly one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Everything owed was delivered, or the peer closed between requests.
    Done,
    /// A request was refused, for a [`Refusal::reason`].
    Refused,
    /// The peer reset the connection, or the network broke it.
    Reset,
    /// No request came within the idle timeout.
    Idle,
    /// A request was not complete by its deadline.
    Deadline,
    /// The peer took no byte for the write timeout.
    Write,
    /// The grace of a shutdown ended while something was in flight. Connections with nothing in flight are closed at once
    /// and count as done (S21).
    Cut,
    /// A handler panicked.
    Panic,
    /// The peer finished sending while it waited for a proxy's fetch, and so has left (S9). One that resets counts as
    /// [`Reset`](Self::Reset).
    Left,
    /// A proxy's fetch for the peer failed (S9).
    Upstream,
}

const REASONS: usize = 10;

/// How a proxy's fetch ended (S9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEnd {
    /// The poem arrived. It is cached, unless its time to live is 0.
    Cached,
    /// It failed.
    Failed,
    /// It was cancelled: the last client that waited for it left, or the server stopped. If the poem arrives at that
    /// moment, either end may be counted.
    Cancelled,
}

const FETCH_ENDS: usize = 3;
/// The most readings until two in a row agree on the connections, requests and fetches that have ended. A reading takes a
/// microsecond, so a few suffice even on a busy server. After the last, those that ended meanwhile still count as open, in
/// flight or under way.
const READINGS_MAX: usize = 64;

/// The counters of one worker, updated without locks.
///
/// A connection is counted in the worker that serves it, by `accepted` and then exactly one `closed`. A request is
/// counted when its frame is complete, or when its bytes turn out not to be a frame, by `requests` and then
/// exactly one of `answered`, `refused` and `failed`; between the two it is in flight. A poem server and a proxy count
/// every connection as one request.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines: processors fetch them in pairs.
pub struct Counters {
    accepted: AtomicU64,
    closed: [AtomicU64; REASONS],
    requests: AtomicU64,
    answered: AtomicU64,
    refused: [AtomicU64; Refusal::REASONS.len()],
    failed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    fetches: AtomicU64,
    fetches_ended: [AtomicU64; FETCH_ENDS],
}

impl Counters {
    /// Counts a connection that was accepted and is open.
    #[inline]
    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    /// Counts an open connection that was closed.
    #[inline]
    pub fn closed(&self, reason: CloseReason) {
        add(&self.closed[reason as usize], 1);
    }

    /// Counts `count` requests that are now in flight.
    #[inline]
    pub fn requests(&self, count: u64) {
        add(&self.requests, count);
    }

    /// Counts `count` requests in flight whose replies the kernel has taken to their last byte.
    #[inline]
    pub fn answered(&self, count: u64) {
        add(&self.answered, count);
    }

    /// Counts a request in flight that was refused.
    #[inline]
    pub fn refused(&self, refusal: &Refusal) {
        add(&self.refused[refusal.index()], 1);
    }

    /// Counts `count` requests in flight that will not be answered: the connection closed, or a handler panicked.
    #[inline]
    pub fn failed(&self, count: u64) {
        add(&self.failed, count);
    }

    /// Counts bytes read from a peer.
    #[inline]
    pub fn read(&self, bytes: u64) {
        add(&self.bytes_in, bytes);
    }

    /// Counts bytes that the kernel took to send to a peer.
    #[inline]
    pub fn wrote(&self, bytes: u64) {
        add(&self.bytes_out, bytes);
    }

    /// Counts a proxy's fetch that has begun. Its bytes are not counted: `read` and `wrote` are about clients.
    pub fn fetch_begun(&self) {
        add(&self.fetches, 1);
    }

    /// Counts the end of a proxy's fetch.
    pub fn fetch_ended(&self, end: FetchEnd) {
        add(&self.fetches_ended[end as usize], 1);
    }
}

/// A beginning is counted before its end, and [`Counts::of`] reads beginnings after ends, so no reading contains an end
/// without its beginning. That needs release here and acquire there.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Release);
}

/// A server's counts at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections open now, including those that linger.
    pub open: u64,
    /// Connections closed, by reason.
    pub closed: Closed,
    /// Requests since the start.
    pub requests: u64,
    /// Requests whose replies the kernel took to their last byte.
    pub answered: u64,
    /// Requests refused, by reason (S4).
    pub refused: Refused,
    /// Requests that will not be answered: the connection closed, or a handler panicked.
    pub failed: u64,
    /// Requests neither answered, nor refused, nor failed yet.
    pub in_flight: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// A proxy's fetches.
    #[serde(default)]
    pub fetches: Fetches,
}

impl Counts {
    /// Adds up the counters of all of a server's workers. The equation of S23 holds in the result.
    ///
    /// What is open, in flight or under way is beginnings minus ends. All ends are read before their beginnings, so none of it
    /// is negative although workers go on counting. If a connection, request or fetch ended between two readings, all counters
    /// are read again, a bounded number of times, so that none of it is too high.
    pub fn of<'c>(workers: impl Iterator<Item = &'c Counters> + Clone) -> Self {
        let mut counts = Self::read(workers.clone());
        for _ in 1..READINGS_MAX {
            let again = Self::read(workers.clone());
            if again.ends() == counts.ends() {
                break;
            }
            counts = again;
        }
        counts
    }

    fn ends(&self) -> (u64, u64, u64) {
        let requests = self.answered + self.refused.total() + self.failed;
        (self.closed.total(), requests, self.fetches.ended())
    }

    fn read<'c>(workers: impl Iterator<Item = &'c Counters> + Clone) -> Self {
        let sum = |of: &dyn Fn(&Counters) -> &AtomicU64| -> u64 {
            workers
                .clone()
                .map(|worker| of(worker).load(Ordering::Acquire))
                .sum()
        };
        let closed = Closed::read(|reason| sum(&|worker| &worker.closed[reason as usize]));
        let refused = Refused::read(|index| sum(&|worker| &worker.refused[index]));
        let fetches = Fetches::read(
            |end| sum(&|worker| &worker.fetches_ended[end as usize]),
            || sum(&|worker| &worker.fetches),
        );
        let answered = sum(&|worker| &worker.answered);
        let failed = sum(&|worker| &worker.failed);
        let requests = sum(&|worker| &worker.requests);
        let accepted = sum(&|worker| &worker.accepted);
        Self {
            open: accepted - closed.total(),
            in_flight: requests - answered - failed - refused.total(),
            accepted,
            closed,
            requests,
            answered,
            refused,
            failed,
            bytes_in: sum(&|worker| &worker.bytes_in),
            bytes_out: sum(&|worker| &worker.bytes_out),
            fetches,
        }
    }

    /// Checks that the equation of S23 holds, for counts that another program reported.
    ///
    /// # Errors
    /// Returns the equation that fails, with its numbers.
    pub fn check(&self) -> Result<(), String> {
        let connections = self.open + self.closed.total();
        if self.accepted != connections {
            return Err(format!(
                "accepted {} ≠ open {} + closed {}",
                self.accepted,
                self.open,
                self.closed.total()
            ));
        }
        let requests = self.answered + self.refused.total() + self.failed + self.in_flight;
        if self.requests != requests {
            let Self {
                requests,
                answered,
                failed,
                in_flight,
                refused,
                ..
            } = self;
            let refused = refused.total();
            return Err(format!(
                "requests {requests} ≠ answered {answered} + refused {refused} + failed {failed} + in flight {in_flight}"
            ));
        }
        let Fetches {
            begun, under_way, ..
        } = self.fetches;
        let ended = self.fetches.ended();
        match begun == ended + under_way {
            true => Ok(()),
            false => Err(format!(
                "fetches begun {begun} ≠ ended {ended} + under way {under_way}"
            )),
        }
    }
}

impl From<&Counters> for Counts {
    fn from(counters: &Counters) -> Self {
        Self::of(iter::once(counters))
    }
}

#[cfg(test)]
mod tests;
