//! Yielding the core once before a thread blocks for its connection's next request.
//!
//! A context switch is cheap; to sleep and be woken is not. When many connections are busy, the next request has often
//! arrived by the time the thread runs again, and then it neither sleeps nor has to be woken.

use std::time::Duration;

use crate::deadlines::{Timed, Wire};

/// A thread of ours runs for some microseconds. If a yield lasts longer than this, another thread is computing, and then
/// blocking is better: the kernel runs a woken thread sooner than one that has yielded.
const YIELD_MAX: Duration = Duration::from_millis(1);
/// The number of reads without a yield after that, so that at most one request in 65 waits for a computing thread.
const SKIPPED: u32 = 64;

/// Decides whether one connection's thread yields before it blocks.
#[derive(Debug, Default)]
pub(crate) struct Yielding {
    /// Reads left that are not preceded by a yield.
    skips: u32,
}

impl Yielding {
    /// Yields the core once before a read of `wire` that may block, unless the last yield took long.
    #[inline]
    pub(crate) fn before_read<W: Wire>(&mut self, wire: &mut Timed<W>) {
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

    /// Returns how many of `reads` were preceded by a yield, if each yield lasts as long as `takes`.
    fn yields(reads: u32, takes: Duration) -> u32 {
        let peer = Peer::new([]).with_yields_that_take(takes);
        let (mut yielding, mut wire) = (Yielding::default(), Timed::new(peer.clone()));
        (0..reads).for_each(|_| yielding.before_read(&mut wire));
        peer.yields()
    }

    #[test]
    fn a_thread_yields_before_every_read_while_the_core_comes_back_soon() {
        assert_eq!(yields(100, Duration::from_micros(300)), 100);
    }

    #[test]
    fn a_thread_that_lost_the_core_for_long_blocks_many_times_before_it_yields_again() {
        assert_eq!(yields(SKIPPED + 1, ms(3)), 1);
        assert_eq!(yields(SKIPPED + 2, ms(3)), 2);
    }
}
