//! The generator's clock: nanoseconds since the start of the run, in one word.

use std::time::{Duration, Instant};

/// A clock that starts at 0. Its words hold 584 years.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(super) fn now(self) -> u64 {
        nanos(self.0.elapsed())
    }
}

/// Returns `time` in nanoseconds.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}
