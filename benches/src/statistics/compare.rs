//! Whether two samples differ: better, worse, or too close to call.

use super::bootstrap::{self, Interval};
use super::sample::{Sample, Spread, median};
use crate::results::Better;

/// The least number of rounds with a spread: the median of three is neither the best nor the worst. With fewer nothing is called:
/// two values are apart by chance too often.
pub const ROUNDS_MIN: usize = 3;
/// With this many rounds of either, ranges that do not overlap are no chance: it is 1 in 35.
const ROUNDS_APART: usize = 4;

/// What a comparison says of its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its values are better.
    Better,
    /// Its values are worse.
    Worse,
    /// Its values differ, and neither is better: the metric only describes.
    Differs,
    /// The values do not say which is better.
    TooClose,
}

/// Two samples of one metric, compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The first's median relative to the second's: the median of the ratios by round if they have rounds in common. It is none
    /// if a value is not positive.
    pub ratio: Option<f64>,
    /// The interval of the ratio. It is none where there is no ratio, or only one round.
    pub interval: Option<Interval>,
    /// The noise that the difference had to exceed, relative: 0.02 is 2 %. It is none if no subject was measured as two.
    pub noise: Option<f64>,
    /// The rounds that were compared: the fewer of the two.
    pub rounds: usize,
    /// What follows.
    pub verdict: Verdict,
}

impl Comparison {
    /// Returns whether the difference is real.
    pub fn is_real(&self) -> bool {
        self.verdict != Verdict::TooClose
    }
}

/// Compares `one` with `other`. They are compared by round if they have at least [`ROUNDS_MIN`] in common, and by their medians
/// otherwise. `noise` is that of one subject measured as two, if known. Returns `None` if either has no values.
pub fn compare(
    one: &Sample,
    other: &Sample,
    better: Better,
    noise: Option<f64>,
) -> Option<Comparison> {
    let pairs = one.pairs(other);
    let by_round = pairs.len() >= ROUNDS_MIN;
    let (ones, others): (Vec<f64>, Vec<f64>) = match by_round {
        true => pairs.into_iter().unzip(),
        false => (one.values(), other.values()),
    };
    let (spread_one, spread_other) = (Spread::of(ones.clone())?, Spread::of(others.clone())?);
    let positive = spread_one.low > 0.0 && spread_other.low > 0.0;
    let (ratio, interval) = match (positive, by_round) {
        (false, _) => (None, None),
        (true, true) => {
            let ratios = ones.iter().zip(&others).map(|(one, other)| one / other);
            let mut ratios: Vec<f64> = ratios.collect();
            (median(&mut ratios), bootstrap::median(&ratios))
        }
        (true, false) => (
            Some(spread_one.median / spread_other.median),
            bootstrap::apart(&ones, &others),
        ),
    };
    // ANCHOR: is_real
    let rounds = ones.len().min(others.len());
    let real = rounds >= ROUNDS_MIN
        && match (ratio, interval) {
            (Some(ratio), Some(interval)) => {
                !interval.contains(1.0) && difference(ratio) > noise.unwrap_or(0.0)
            }
            _ => rounds >= ROUNDS_APART && are_apart(spread_one, spread_other),
        };
    // ANCHOR_END: is_real
    let verdict = match (real, better) {
        (false, _) => Verdict::TooClose,
        (true, Better::Neither) => Verdict::Differs,
        (true, better) => {
            let lower = ratio.map_or(spread_one.median < spread_other.median, |ratio| ratio < 1.0);
            match lower == (better == Better::Lower) {
                true => Verdict::Better,
                false => Verdict::Worse,
            }
        }
    };
    Some(Comparison {
        ratio,
        interval,
        noise,
        rounds,
        verdict,
    })
}

/// Returns the noise: the median of the ratios, round by round, of one subject measured as two, as a difference relative to the
/// smaller.
pub fn noise(one: &Sample, again: &Sample) -> Option<f64> {
    let ratio = one.relative_to(again).spread()?.median;
    (ratio > 0.0 && ratio.is_finite()).then(|| difference(ratio))
}

/// Returns the difference that `ratio` says, relative to the smaller value.
fn difference(ratio: f64) -> f64 {
    ratio.max(1.0 / ratio) - 1.0
}

fn are_apart(one: Spread, other: Spread) -> bool {
    one.low > other.high || other.low > one.high
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// A measurement with noise that is sometimes much slower, as a neighbour's work makes it.
    fn measured(rng: &mut Rng, centre: f64, deviation: f64) -> f64 {
        let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let disturbed = if rng.u8(..) < 13 {
            1.0 + rng.f64()
        } else {
            1.0
        };
        centre * (deviation * normal).exp() * disturbed
    }

    /// What was called of two subjects, of which one takes `shift` times as long: the share of `trials` in which they were called
    /// different, by the interval alone and with the noise, and how often the wrong one was called better.
    fn called(rounds: usize, shift: f64, trials: u32) -> (f64, f64, u32) {
        let mut rng = Rng::with_seed(rounds as u64);
        let (mut alone, mut with_noise, mut wrong) = (0, 0, 0);
        for _ in 0..trials {
            let drift: Vec<f64> = (0..rounds).map(|_| measured(&mut rng, 5.0, 0.05)).collect();
            let mut subject = |shift: f64| {
                let values = drift.iter().map(|drift| drift * shift);
                Sample::of_rounds(values.map(|value| measured(&mut rng, value, 0.02)))
            };
            let (one, again, other) = (subject(1.0), subject(1.0), subject(shift));
            let comparison = compare(&one, &other, Better::Lower, None).unwrap();
            if comparison.is_real() {
                alone += 1;
                wrong += u32::from(comparison.verdict == Verdict::Worse);
                let above = difference(comparison.ratio.unwrap()) > noise(&one, &again).unwrap();
                with_noise += u32::from(above);
            }
        }
        let share = |count: u32| f64::from(count) / f64::from(trials);
        (share(alone), share(with_noise), wrong)
    }

    #[test]
    fn two_of_the_same_are_almost_always_too_close_to_call() {
        for rounds in [3, 4, 5, 8] {
            let (alone, with_noise, _) = called(rounds, 1.0, 100);
            assert!(alone < 0.12, "{rounds} rounds: {alone} are called");
            assert!(
                with_noise < 0.08,
                "{rounds} rounds: {with_noise} are called"
            );
        }
    }

    #[test]
    fn a_difference_well_above_the_noise_is_found_in_the_right_direction() {
        for (rounds, found) in [(3, 0.5), (5, 0.7), (8, 0.9)] {
            let (_, share, wrong) = called(rounds, 1.25, 100);
            assert!(share > found, "{rounds} rounds: {share} are found");
            assert_eq!(wrong, 0, "{rounds} rounds");
        }
    }

    #[test]
    fn a_drift_of_the_machine_cancels_out_by_round() {
        let one = Sample::of_rounds([1.0, 2.0, 4.0, 8.0, 3.0]);
        let other = Sample::of_rounds([1.1, 2.21, 4.39, 8.8, 3.3]);
        let comparison = compare(&one, &other, Better::Lower, Some(0.03)).unwrap();
        assert_eq!(comparison.verdict, Verdict::Better);
        assert!((comparison.ratio.unwrap() - 1.0 / 1.1).abs() < 0.01);
        let reverse = compare(&one, &other, Better::Higher, Some(0.03)).unwrap();
        assert_eq!(reverse.verdict, Verdict::Worse);
        let describing = compare(&one, &other, Better::Neither, Some(0.03)).unwrap();
        assert_eq!(describing.verdict, Verdict::Differs);
    }

    #[test]
    fn a_difference_within_the_noise_is_too_close_to_call() {
        let one = Sample::of_rounds([4.00, 4.01, 4.00, 4.01, 4.00]);
        let other = Sample::of_rounds([4.08, 4.09, 4.08, 4.09, 4.08]);
        let verdict = |noise| compare(&one, &other, Better::Lower, noise).unwrap().verdict;
        assert_eq!(verdict(None), Verdict::Better);
        assert_eq!(verdict(Some(0.01)), Verdict::Better);
        assert_eq!(verdict(Some(0.03)), Verdict::TooClose);
    }

    #[test]
    fn too_few_rounds_call_nothing_and_no_values_compare_nothing() {
        let (one, other) = (Sample::of_rounds([1.0, 1.0]), Sample::of_rounds([9.0, 9.0]));
        let comparison = compare(&one, &other, Better::Lower, None).unwrap();
        assert_eq!(
            (comparison.rounds, comparison.verdict),
            (2, Verdict::TooClose)
        );
        assert_eq!(compare(&one, &Sample::default(), Better::Lower, None), None);
    }

    #[test]
    fn values_that_may_be_zero_differ_if_their_ranges_do_not_overlap() {
        let none = Sample::of_rounds([0.0; 4]);
        let some = Sample::of_rounds([3.0, 5.0, 4.0, 9.0]);
        let comparison = compare(&none, &some, Better::Lower, None).unwrap();
        assert_eq!(
            (comparison.ratio, comparison.verdict),
            (None, Verdict::Better)
        );
        let same = compare(&none, &none, Better::Lower, None).unwrap();
        assert_eq!(same.verdict, Verdict::TooClose);
    }
}
