//! The pace at which a client gets its threads: a burst at once, and beyond that no more than leave the core to those
//! that read.
//!
//! What arrives for a connection that has no thread yet waits in the kernel: a thread that comes a moment later misses
//! none of it, and where others have finished meanwhile, one of them takes the connection over and no thread is made.
//! What waits for the thread is what it does itself: the idle timeout begins with it, an outcome is told by it, and a
//! total deadline that has passed by then has passed.

use std::time::Duration;

/// Threads that are made at once: most fetches are no more, and to make so many takes some 20 ms.
pub const BURST: u32 = 1_024;
/// Threads made in a second beyond those. To be made, woken and ended takes a thread some 70 µs of a core: that is a
/// tenth of one. The last of 10,000 poems of which none ends waits 6 s for its thread, at most.
pub const PER_SECOND: u32 = 1_500;
/// Threads made in a row, so that who makes them is woken a hundred times a second and not for each.
const IN_A_ROW: u32 = PER_SECOND / 100;

/// How long after the first thread one may be made that has `earlier` others before it.
pub fn due(earlier: u32) -> Duration {
    let rows = earlier.saturating_sub(BURST - 1).div_ceil(IN_A_ROW);
    Duration::from_secs(1) * rows * IN_A_ROW / PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_a_burst_of_threads_is_made_at_once() {
        assert_eq!(due(0), Duration::ZERO);
        assert_eq!(due(BURST - 1), Duration::ZERO);
        assert!(due(BURST) > Duration::ZERO);
    }

    #[test]
    fn t1_beyond_the_burst_no_more_threads_are_made_in_a_second_than_is_said() {
        for seconds in 1..5 {
            let made = BURST + seconds * PER_SECOND;
            assert_eq!(due(made - 1), Duration::from_secs(seconds.into()));
            assert!(due(made) > Duration::from_secs(seconds.into()));
        }
    }
}
