//! The rules of restarting, as pure functions (O5): which children a restart affects, and how many restarts are too many.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::child::Key;
use super::spec::Restart;

/// Which children are restarted when one has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only that one.
    OneForOne,
    /// All children.
    OneForAll,
    /// That one and the children started after it.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        })
    }
}

/// The children that a restart affects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Affected {
    /// The children to stop, the last first.
    pub(super) stop: Vec<Key>,
    /// The children to start then, in this order.
    pub(super) start: VecDeque<Key>,
}

impl Strategy {
    /// Returns the children that the restart of `ended` affects. `children` are in the order they were started in.
    pub(super) fn affected(
        self,
        ended: Key,
        children: impl Iterator<Item = (Key, Restart)>,
    ) -> Affected {
        let mut after = false;
        let affected: Vec<_> = children
            .filter(|(key, _)| {
                after |= *key == ended;
                match self {
                    Self::OneForOne => *key == ended,
                    Self::OneForAll => true,
                    Self::RestForOne => after,
                }
            })
            .collect();
        let others = affected.iter().filter(|(key, _)| *key != ended);
        let lasting = affected
            .iter()
            .filter(|(_, restart)| *restart != Restart::Temporary);
        Affected {
            stop: others.map(|(key, _)| *key).collect(),
            start: lasting.map(|(key, _)| *key).collect(),
        }
    }
}

/// The limit of restarts: more than `restarts` within `period` are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// How many restarts are allowed.
    pub restarts: usize,
    /// The time in which they are counted.
    pub period: Duration,
}

/// OTP's default: one restart in five seconds.
impl Default for Intensity {
    fn default() -> Self {
        Self {
            restarts: 1,
            period: Duration::from_secs(5),
        }
    }
}

/// The times of the restarts within the period.
#[derive(Debug)]
pub(super) struct Restarts {
    intensity: Intensity,
    times: VecDeque<Duration>,
}

impl Restarts {
    pub(super) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            times: VecDeque::new(),
        }
    }

    /// Counts a restart at `now` and returns whether there are too many.
    pub(super) fn are_too_many(&mut self, now: Duration) -> bool {
        let Intensity { restarts, period } = self.intensity;
        self.times.push_back(now);
        while self.times.front().is_some_and(|&time| now - time > period) {
            self.times.pop_front();
        }
        self.times.len() > restarts
    }
}
