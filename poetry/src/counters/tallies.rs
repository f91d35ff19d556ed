//! Counts by reason: plain data, and how a reading of the counters becomes it.

use serde::{Deserialize, Serialize};

use super::{CloseReason, FetchEnd};

/// The fetches of a proxy (S9): begun = cached + failed + cancelled + under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetches {
    /// Fetches since the start.
    pub begun: u64,
    /// Fetches whose poem was cached.
    pub cached: u64,
    /// Fetches that failed.
    pub failed: u64,
    /// Fetches that were cancelled: the last client that waited for them had left, or the server stopped.
    pub cancelled: u64,
    /// Fetches under way now.
    pub under_way: u64,
}

/// Connections closed, by [`CloseReason`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // A program that lacks a reason never closes or refuses for it.
#[allow(missing_docs)] // Each field counts the reason of the same name.
pub struct Closed {
    pub done: u64,
    pub refused: u64,
    pub reset: u64,
    pub idle: u64,
    pub deadline: u64,
    pub write: u64,
    pub cut: u64,
    pub panic: u64,
    pub left: u64,
    pub upstream: u64,
}

/// Requests refused, by [`Refusal::reason`](crate::Refusal::reason).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // A program that lacks a reason never closes or refuses for it.
#[allow(missing_docs)] // Each field counts the reason of the same name.
pub struct Refused {
    pub no_dot: u64,
    pub unknown_transform: u64,
    pub not_utf8: u64,
    pub transform_failed: u64,
    pub reply_too_long: u64,
    pub framing: u64,
    pub truncated: u64,
    pub unknown_poem: u64,
    pub bad_poem_name: u64,
}

impl Fetches {
    /// Reads the number of fetches that `ended` in each way, and after them those that have `begun`.
    pub(super) fn read(ended: impl Fn(FetchEnd) -> u64, begun: impl FnOnce() -> u64) -> Self {
        let mut fetches = Self {
            cached: ended(FetchEnd::Cached),
            failed: ended(FetchEnd::Failed),
            cancelled: ended(FetchEnd::Cancelled),
            ..Self::default()
        };
        fetches.begun = begun();
        fetches.under_way = fetches.begun - fetches.ended();
        fetches
    }

    /// Returns the fetches that have ended.
    pub fn ended(&self) -> u64 {
        self.cached + self.failed + self.cancelled
    }
}

impl Closed {
    /// Reads the number of connections `closed` for each reason.
    pub(super) fn read(closed: impl Fn(CloseReason) -> u64) -> Self {
        Self {
            done: closed(CloseReason::Done),
            refused: closed(CloseReason::Refused),
            reset: closed(CloseReason::Reset),
            idle: closed(CloseReason::Idle),
            deadline: closed(CloseReason::Deadline),
            write: closed(CloseReason::Write),
            cut: closed(CloseReason::Cut),
            panic: closed(CloseReason::Panic),
            left: closed(CloseReason::Left),
            upstream: closed(CloseReason::Upstream),
        }
    }

    /// Returns the connections closed for each reason, by its name.
    pub fn by_reason(&self) -> [(&'static str, u64); 10] {
        let Self {
            done,
            refused,
            reset,
            idle,
            deadline,
            write,
            cut,
            panic,
            left,
            upstream,
        } = *self;
        [
            ("done", done),
            ("refused", refused),
            ("reset", reset),
            ("idle", idle),
            ("deadline", deadline),
            ("write", write),
            ("cut", cut),
            ("panic", panic),
            ("left", left),
            ("upstream", upstream),
        ]
    }

    /// Returns the connections closed for any reason.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}

impl Refused {
    /// Reads the number of requests `refused` for each reason, by [`Refusal::index`](crate::Refusal::index).
    pub(super) fn read(refused: impl Fn(usize) -> u64) -> Self {
        Self {
            no_dot: refused(0),
            unknown_transform: refused(1),
            not_utf8: refused(2),
            transform_failed: refused(3),
            reply_too_long: refused(4),
            framing: refused(5),
            truncated: refused(6),
            unknown_poem: refused(7),
            bad_poem_name: refused(8),
        }
    }

    /// Returns the requests refused for each reason, by its name.
    pub fn by_reason(&self) -> [(&'static str, u64); 9] {
        let Self {
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
            unknown_poem,
            bad_poem_name,
        } = *self;
        [
            ("no_dot", no_dot),
            ("unknown_transform", unknown_transform),
            ("not_utf8", not_utf8),
            ("transform_failed", transform_failed),
            ("reply_too_long", reply_too_long),
            ("framing", framing),
            ("truncated", truncated),
            ("unknown_poem", unknown_poem),
            ("bad_poem_name", bad_poem_name),
        ]
    }

    /// Returns the requests refused for any reason.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}
