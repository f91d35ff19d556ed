//! What a thread does before it blocks for its connection's next request: it lets the others have the core once.
//!
//! A context switch is cheap; to sleep and be woken is not. When many are at work, a thread that has had the others go
//! first finds its next request there, and neither sleeps nor has to be woken.

use std::time::Duration;

use crate::deadlines::{Timed, Wire};

/// A turn of ours lasts some microseconds. Whoever got the core back later than this had yielded it to somebody who
/// computes, and whom being woken overtakes sooner than waiting in line does.
const YIELD_MAX: Duration = Duration::from_millis(1);
/// Requests that are then blocked for without yielding first, so that at most one in so many bears that wait.
const SKIPPED: u32 = 64;

/// Whether one connection's thread yields before it blocks.
#[derive(Debug, Default)]
pub struct Yielding {
    /// Waits left that do not begin with a yield.
    skips: u32,
}

impl Yielding {
    /// The thread is about to block in a read of `wire`: yields the core once, if that has been of use.
    #[inline]
    pub fn before_read<W: Wire>(&mut self, wire: &mut Timed<W>) {
        if self.skips > 0 {
            self.skips -= 1;
            return;
        }
        let yielded = wire.now();
        wire.wire().yield_now();
        if wire.now().saturating_sub(yielded) > YIELD_MAX {
            self.skips = SKIPPED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Peer, ms};

    /// Yields before `waits` reads; each takes as long as `takes`.
    fn yields(waits: u32, takes: Duration) -> u32 {
        let peer = Peer::new([]).whose_turn_comes_after(takes);
        let (mut yielding, mut wire) = (Yielding::default(), Timed::new(peer.clone()));
        (0..waits).for_each(|_| yielding.before_read(&mut wire));
        peer.yields()
    }

    #[test]
    fn a_thread_yields_before_every_read_as_long_as_its_turn_comes_again_soon() {
        assert_eq!(yields(100, Duration::from_micros(300)), 100);
    }

    #[test]
    fn a_thread_that_lost_the_core_for_long_blocks_many_times_before_it_yields_again() {
        assert_eq!(yields(SKIPPED + 1, ms(3)), 1);
        assert_eq!(yields(SKIPPED + 2, ms(3)), 2);
    }
}
