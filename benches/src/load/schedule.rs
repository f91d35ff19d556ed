//! When the requests of an open loop are due. Requests that wait are not stored: their times are computed again when they are
//! sent, so the wait of a million requests takes no memory.

use fastrand::Rng;

use super::Gaps;

/// The due time of the next request to be sent, and of those behind it.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// Nanoseconds between two requests, on average.
    gap: f64,
    /// For exponential gaps.
    rng: Option<Rng>,
    /// Requests sent, or given up.
    taken: u64,
    /// When the next one is due, in nanoseconds from the start.
    next: f64,
}

impl Schedule {
    pub(super) fn new(rate: f64, gaps: Gaps, seed: u64) -> Self {
        Self {
            gap: 1e9 / rate,
            rng: (gaps == Gaps::Exponential).then(|| Rng::with_seed(seed)),
            taken: 0,
            next: 0.0,
        }
    }

    /// Returns when the next request is due.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next as u64
    }

    /// Returns the number of requests taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next request, which was due at [`Schedule::next`].
    #[inline]
    pub(super) fn take(&mut self) {
        self.taken += 1;
        match &mut self.rng {
            // From the count, so that errors of rounding do not accumulate.
            None => self.next = self.taken as f64 * self.gap,
            Some(rng) => self.next -= (1.0 - rng.f64()).ln() * self.gap,
        }
    }

    /// Returns the due times up to `now` of the requests that wait, of at most `left`.
    pub(super) fn waiting(&self, now: u64, left: u64) -> impl Iterator<Item = u64> {
        let mut behind = self.clone();
        let times = std::iter::repeat_with(move || {
            let due = behind.next();
            behind.take();
            due
        });
        times
            .zip(0..left)
            .map(|(due, _)| due)
            .take_while(move |&due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_gaps_do_not_drift() {
        let mut schedule = Schedule::new(3.0, Gaps::Equal, 0);
        for _ in 0..3_000_000 {
            schedule.take();
        }
        assert_eq!(schedule.next(), 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn the_requests_that_wait_are_those_due_and_not_taken() {
        let mut schedule = Schedule::new(1e9 / 10.0, Gaps::Equal, 0);
        schedule.take();
        assert_eq!(schedule.waiting(35, 9).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(schedule.waiting(35, 2).collect::<Vec<_>>(), [10, 20]);
        assert_eq!(schedule.waiting(9, 9).count(), 0);
    }

    #[test]
    fn exponential_gaps_keep_the_rate_and_are_repeatable() {
        let due = |seed| {
            let schedule = Schedule::new(1_000.0, Gaps::Exponential, seed);
            schedule
                .waiting(100_000_000_000, u64::MAX)
                .collect::<Vec<_>>()
        };
        let times = due(7);
        // 100,000 are expected; the standard deviation is 316.
        assert!((98_000..102_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted() && times == due(7) && times != due(8));
        let short = times
            .windows(2)
            .filter(|pair| pair[1] - pair[0] < 1_000_000);
        let share = short.count() as f64 / times.len() as f64;
        // 1 - 1/e
        assert!((0.62..0.645).contains(&share), "{share}");
    }
}
