//! Watching a run while it goes on, and stopping it.

use std::ops::ControlFlow;
use std::time::Duration;

use super::Latency;

/// Looks at a run from time to time, from the generator's own thread.
pub struct Watch<'w> {
    /// How often. It is as often that a run can be stopped.
    pub every: Duration,
    /// Called with the state of the run; a `Break` stops it. What it takes is taken from the load.
    pub look: &'w mut dyn FnMut(&Snapshot<'_>) -> ControlFlow<()>,
}

/// The state of a run.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'s> {
    /// From the start.
    pub elapsed: Duration,
    /// The part of it in the timed window; `None` before it opens.
    pub timed: Option<Duration>,
    /// Replies since the start.
    pub answered: u64,
    /// Open connections.
    pub open: usize,
    /// Requests of an open loop that wait for a connection.
    pub waiting: u64,
    /// Latencies in the window up to now.
    pub latency: &'s Latency,
}

/// When to look next.
pub(super) struct Ticks<'w> {
    watch: Watch<'w>,
    next: u64,
}

impl<'w> Ticks<'w> {
    pub(super) fn new(watch: Watch<'w>) -> Self {
        Self { watch, next: 0 }
    }

    /// Whether it is time to look at `now`.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// How long to wait at most, from `now` on.
    pub(super) fn wait(&self, now: u64) -> Duration {
        Duration::from_nanos(self.next.saturating_sub(now))
    }

    /// Looks at the run at `now`.
    pub(super) fn look(&mut self, now: u64, snapshot: &Snapshot<'_>) -> ControlFlow<()> {
        self.next = now + super::clock::nanos(self.watch.every);
        (self.watch.look)(snapshot)
    }
}
