//! The state of an open loop: what is due, and which slots are free to send it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::Registry;

use super::schedule::Schedule;
use super::timer::Timer;
use super::{Arrival, Plan};

/// The state of an open loop.
pub(super) struct Arrivals {
    pub(super) schedule: Schedule,
    timer: Timer,
    /// Free slots, and since when, the longest free first: so all connections are used in turn. At most one entry each.
    free: VecDeque<(usize, u64)>,
}

impl Arrivals {
    /// Creates the state for `plan`, if it is of an open loop.
    pub(super) fn new(plan: &Plan, registry: &Registry) -> io::Result<Option<Self>> {
        Ok(match plan.arrival {
            Arrival::Closed => None,
            Arrival::Open { rate, gaps } => Some(Self {
                schedule: Schedule::new(rate, gaps, plan.seed),
                timer: Timer::new(registry)?,
                free: VecDeque::with_capacity(plan.connections),
            }),
        })
    }

    /// Notes that `slot` is free since `now`.
    #[inline]
    pub(super) fn free(&mut self, slot: usize, now: u64) {
        self.free.push_back((slot, now));
    }

    /// Returns the slot that has been free for longest, and since when.
    #[inline]
    pub(super) fn take_free(&mut self) -> Option<(usize, u64)> {
        self.free.pop_front()
    }

    /// Returns the number of free slots.
    pub(super) fn num_free(&self) -> usize {
        self.free.len()
    }

    /// Returns how long to poll at `now`, at most for `longest`, so that the next request is sent when it is due.
    pub(super) fn wait(&mut self, now: u64, longest: Duration) -> io::Result<Duration> {
        let until = Duration::from_nanos(self.schedule.next().saturating_sub(now));
        match until < longest {
            true => self.timer.end_wait(until, longest),
            false => Ok(longest),
        }
    }

    /// Returns how many requests wait at `now`, of at most `left`.
    pub(super) fn num_waiting(&self, now: u64, left: u64) -> u64 {
        self.schedule.waiting(now, left).count() as u64
    }
}
