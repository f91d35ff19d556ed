//! Counts by reason: plain data.

use serde::{Deserialize, Serialize};

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

/// Connections closed, by [`CloseReason`](super::CloseReason).
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
    /// Returns the fetches that have ended.
    pub fn ended(&self) -> u64 {
        self.cached + self.failed + self.cancelled
    }
}

impl Closed {
    /// Returns the connections closed for any reason.
    pub fn total(&self) -> u64 {
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
            done, refused, reset, idle, deadline, write, cut, panic, left, upstream,
        ]
        .iter()
        .sum()
    }
}

impl Refused {
    /// Returns the requests refused for any reason.
    pub fn total(&self) -> u64 {
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
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
            unknown_poem,
            bad_poem_name,
        ]
        .iter()
        .sum()
    }
}
