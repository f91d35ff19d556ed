//! Records the times of requests. Recording takes no memory and no clock reading of its own.

use hdrhistogram::Histogram;

use super::clock::nanos;
use super::{Fairness, LATENCY_MAX, Latency, LoadError, Plan};

/// Significant digits of the histograms.
const DIGITS: u8 = 3;

/// The times of requests in the window, all in nanoseconds since the start.
pub(super) struct Recorder {
    /// The window.
    from: u64,
    to: u64,
    /// Whether the window is open.
    is_open: bool,
    /// Whether requests are chosen by when they were due, and not by when their replies came.
    by_due: bool,
    /// By the kind of exchange.
    pub(super) latency: [Latency; 2],
    pub(super) lateness: Latency,
    /// Replies in the window, by slot, and which slots have had a connection.
    replies: Vec<u64>,
    made: Vec<bool>,
    pub(super) first_reply: Option<u64>,
    /// Clients that left in the window.
    pub(super) left: u64,
}

impl Recorder {
    pub(super) fn new(plan: &Plan) -> Result<Self, LoadError> {
        Ok(Self {
            from: u64::MAX,
            to: u64::MAX,
            is_open: false,
            by_due: plan.is_open(),
            latency: [histogram()?, histogram()?],
            lateness: histogram()?,
            replies: vec![0; plan.connections],
            made: vec![false; plan.connections],
            first_reply: None,
            left: 0,
        })
    }

    /// Opens the window at `now`.
    pub(super) fn begin(&mut self, now: u64) {
        self.from = now;
        self.is_open = true;
    }

    /// Closes the window at `now`, and records the requests that still wait since `dues`, with the time they have waited.
    pub(super) fn end(&mut self, now: u64, dues: impl Iterator<Item = u64>) {
        self.to = now;
        self.is_open = false;
        for due in dues.filter(|&due| due >= self.from) {
            self.latency[0].saturating_record(now - due);
        }
    }

    /// Records a reply at `now`, to a request of `kind` that was sent, or due, at `begun`.
    #[inline]
    pub(super) fn reply(&mut self, slot: usize, kind: usize, begun: u64, now: u64) {
        self.first_reply.get_or_insert(now);
        self.replies[slot] += u64::from(self.is_open);
        if begun >= self.from && begun < self.to && (self.is_open || self.by_due) {
            self.latency[kind].saturating_record(now.saturating_sub(begun));
        }
    }

    /// Records that a request was sent at `now`, which was due and could have been sent at `possible`.
    #[inline]
    pub(super) fn sent(&mut self, possible: u64, now: u64) {
        if self.is_open && possible >= self.from {
            self.lateness.saturating_record(now - possible);
        }
    }

    /// Records that a connection of `slot` was made.
    pub(super) fn made(&mut self, slot: usize) {
        self.made[slot] = true;
    }

    /// Records that a client left.
    pub(super) fn left(&mut self) {
        self.left += u64::from(self.is_open);
    }

    /// Returns how evenly the slots were served. Those that never had a connection are not counted.
    pub(super) fn fairness(&self) -> Option<Fairness> {
        let served = self.replies.iter().zip(&self.made);
        let mut replies: Vec<u64> = served
            .filter_map(|(replies, made)| made.then_some(*replies))
            .collect();
        replies.sort_unstable();
        Some(Fairness {
            fewest: *replies.first()?,
            median: replies[replies.len() / 2],
        })
    }
}

fn histogram() -> Result<Latency, LoadError> {
    Histogram::new_with_bounds(1, nanos(LATENCY_MAX), DIGITS)
        .map_err(|error| LoadError::Plan(error.to_string()))
}
