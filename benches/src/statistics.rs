//! Statistics of measured values: spreads, bootstrap intervals, and whether a difference is real.
//!
//! A measurement has few rounds, so its intervals are widened for their number, and a difference counts only if it also exceeds
//! the noise of one subject measured as two (MEASURING 3). What does not count is *too close to call*. Everything is seeded: the
//! same values always give the same answer. No crate that was found resamples paired rounds, so the bootstrap is our own.

mod bootstrap;
mod compare;
mod sample;

pub use bootstrap::Interval;
pub use compare::{Comparison, ROUNDS_MIN, Verdict, compare, noise};
pub use sample::{Round, Sample, Spread};
