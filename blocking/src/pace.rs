//! The pace at which a client spawns its threads: a burst at once, and beyond it so few a second that spawning takes little
//! time from the threads that read.
//!
//! What arrives for a connection without a thread waits in the kernel, so a thread that comes later misses none of it;
//! and if another thread finishes first, it takes the connection over and none is spawned. Only two things are late: the
//! idle timeout starts, and the outcome is reported, when the connection has its thread.

use std::time::Duration;

use crate::net;

/// Threads spawned at once: most calls fetch fewer poems, and this many threads take some 20 ms to spawn.
pub(crate) const BURST: u32 = 1_024;
/// Threads spawned in a second beyond the burst. To spawn, wake and end a thread takes some 70 µs of a core, so this is a
/// tenth of one. If none of 10,000 poems ends, the last waits 6 s for its thread.
pub(crate) const PER_SECOND: u32 = 1_500;
/// Threads spawned in a row, so that the spawning thread wakes a hundred times a second and not for each.
const IN_A_ROW: u32 = PER_SECOND / 100;

/// When each thread of one call is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpawnPace {
    since: Duration,
}

impl SpawnPace {
    /// Starts a pace: the burst is due now.
    pub(crate) fn start() -> Self {
        Self { since: net::now() }
    }

    /// Waits until the thread after `earlier` others is due, or until it is no longer wanted; unparking this thread
    /// makes it ask again. Returns whether to spawn it.
    pub(crate) fn wait_until_due(self, earlier: u32, still_wanted: impl Fn() -> bool) -> bool {
        let due = self.since.saturating_add(due(earlier));
        while still_wanted() {
            let left = due.saturating_sub(net::now());
            if left.is_zero() {
                return true;
            }
            net::park(left);
        }
        false
    }
}

/// How long after the first thread the one after `earlier` others is due.
pub(crate) fn due(earlier: u32) -> Duration {
    let rows = earlier.saturating_sub(BURST - 1).div_ceil(IN_A_ROW);
    Duration::from_secs(1) * rows * IN_A_ROW / PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_a_burst_of_threads_is_due_at_once() {
        assert_eq!(due(0), Duration::ZERO);
        assert_eq!(due(BURST - 1), Duration::ZERO);
        assert!(due(BURST) > Duration::ZERO);
    }

    #[test]
    fn t1_beyond_the_burst_threads_are_due_at_the_stated_pace() {
        for seconds in 1..5 {
            let made = BURST + seconds * PER_SECOND;
            assert_eq!(due(made - 1), Duration::from_secs(seconds.into()));
            assert!(due(made) > Duration::from_secs(seconds.into()));
        }
    }
}
