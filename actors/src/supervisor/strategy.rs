//! The rules of restarting, as pure functions (O5): which children an exit concerns, and when restarts are too many.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::child::{Key, Restart};

/// Whom a restart concerns besides the child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// All its siblings.
    OneForAll,
    /// Those that were started after it.
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

/// What a restart does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Concerned {
    /// To be stopped, the last first.
    pub(super) stop: Vec<Key>,
    /// To be started then, in this order.
    pub(super) start: Vec<Key>,
}

impl Strategy {
    /// Whom the restart of `ended` concerns; `children` are in the order they were started in.
    pub(super) fn concerned(
        self,
        ended: Key,
        children: impl Iterator<Item = (Key, Restart)>,
    ) -> Concerned {
        let mut after = false;
        let concerned: Vec<_> = children
            .filter(|(key, _)| {
                after |= *key == ended;
                match self {
                    Self::OneForOne => *key == ended,
                    Self::OneForAll => true,
                    Self::RestForOne => after,
                }
            })
            .collect();
        let others = concerned.iter().filter(|(key, _)| *key != ended);
        let lasting = concerned
            .iter()
            .filter(|(_, restart)| *restart != Restart::Temporary);
        Concerned {
            stop: others.map(|(key, _)| *key).collect(),
            start: lasting.map(|(key, _)| *key).collect(),
        }
    }
}

/// More than `restarts` within `period` are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// How many are bearable.
    pub restarts: usize,
    /// In which time.
    pub period: Duration,
}

/// OTP's: one restart in five seconds. Something that fails twice as fast will not be mended by a third try.
impl Default for Intensity {
    fn default() -> Self {
        Self {
            restarts: 1,
            period: Duration::from_secs(5),
        }
    }
}

/// When there were restarts, as far back as matters.
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

    /// Counts a restart at `now`; whether that makes too many.
    pub(super) fn are_too_many(&mut self, now: Duration) -> bool {
        let Intensity { restarts, period } = self.intensity;
        self.times.push_back(now);
        while self.times.front().is_some_and(|&time| now - time > period) {
            self.times.pop_front();
        }
        self.times.len() > restarts
    }
}
