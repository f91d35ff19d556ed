//! Bootstrap intervals of medians and of ratios of medians, in about 95 of 100 measurements right.

use fastrand::Rng;

use super::sample::median as middle;

/// Resamplings for one interval. The ends are the 50th lowest and highest; more would move them by less than is printed.
const RESAMPLINGS: usize = 2_000;
/// The share of resamplings left out at either end: 95 % are within.
const TAIL: f64 = 0.025;
/// The seed of every interval, so that the same rows always give the same report.
const SEED: u64 = 0x7175_6174_7261_696e;

/// A range that contains the true value in about 95 of 100 measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Returns whether it contains `value`.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Returns the interval of the median of positive `values`, at least two.
pub(super) fn median(values: &[f64]) -> Option<Interval> {
    let logs = logarithms(values)?;
    interval(&[&logs], |resampled| middle(&mut resampled[0]))
}

/// Returns the interval of the median of `one` divided by the median of `other`, which were measured apart.
pub(super) fn apart(one: &[f64], other: &[f64]) -> Option<Interval> {
    let (one, other) = (logarithms(one)?, logarithms(other)?);
    interval(&[&one, &other], |resampled| {
        let other = middle(&mut resampled[1])?;
        Some(middle(&mut resampled[0])? - other)
    })
}

/// The interval of a statistic of logarithms: the percentiles of its resamplings, whose distance from the statistic is widened for
/// few rounds. Without that, three rounds would cover the truth three times in four only.
fn interval(
    samples: &[&[f64]],
    statistic: impl Fn(&mut [Vec<f64>]) -> Option<f64>,
) -> Option<Interval> {
    let fewest = samples.iter().map(|sample| sample.len()).min()?;
    let mut resampled: Vec<Vec<f64>> = samples.iter().map(|sample| sample.to_vec()).collect();
    let estimate = statistic(&mut resampled)?;
    let mut rng = Rng::with_seed(SEED);
    let mut estimates = Vec::with_capacity(RESAMPLINGS);
    for _ in 0..RESAMPLINGS {
        for (into, from) in resampled.iter_mut().zip(samples) {
            into.fill_with(|| from[rng.usize(..from.len())]);
        }
        estimates.push(statistic(&mut resampled)?);
    }
    estimates.sort_unstable_by(f64::total_cmp);
    let left_out = (RESAMPLINGS as f64 * TAIL) as usize;
    let widened = |end: f64| (estimate + (end - estimate) * widening(fewest)).exp();
    Some(Interval {
        low: widened(estimates[left_out]),
        high: widened(estimates[RESAMPLINGS - 1 - left_out]),
    })
}

/// How much wider an interval of `rounds` is than many rounds would need: Student's quantile beside the normal one, and the
/// deviation that resampling underestimates (Hesterberg, *What Teachers Should Know About the Bootstrap*, 2015).
fn widening(rounds: usize) -> f64 {
    let rounds = rounds as f64;
    student(rounds - 1.0) / NORMAL * (rounds / (rounds - 1.0)).sqrt()
}

/// The quantile that 97.5 % of a normal distribution are below.
const NORMAL: f64 = 1.959_964;

/// The quantile that 97.5 % of Student's distribution with `freedom` ≥ 1 degrees of freedom are below: exact for the first two,
/// then Fisher's expansion, within 1 %.
fn student(freedom: f64) -> f64 {
    match freedom {
        freedom if freedom < 1.5 => 12.706_2,
        freedom if freedom < 2.5 => 4.302_7,
        _ => {
            let (z, z3, z5) = (NORMAL, NORMAL.powi(3), NORMAL.powi(5));
            let first = (z3 + z) / 4.0 / freedom;
            let second = (5.0 * z5 + 16.0 * z3 + 3.0 * z) / 96.0 / freedom.powi(2);
            let third =
                (3.0 * NORMAL.powi(7) + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / 384.0 / freedom.powi(3);
            z + first + second + third
        }
    }
}

/// Returns the logarithms of at least two `values`, if all are positive.
fn logarithms(values: &[f64]) -> Option<Vec<f64>> {
    let positive = values.len() >= 2 && values.iter().all(|&value| value > 0.0);
    positive.then(|| values.iter().map(|value| value.ln()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_s_quantiles_are_those_of_tables() {
        for (freedom, quantile) in [
            (1.0, 12.706),
            (2.0, 4.303),
            (3.0, 3.182),
            (4.0, 2.776),
            (9.0, 2.262),
            (30.0, 2.042),
        ] {
            let error = student(freedom) / quantile - 1.0;
            assert!(error.abs() < 0.01, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn an_interval_surrounds_the_median_and_is_the_same_every_time() {
        let values = [4.0, 4.2, 3.9, 4.1, 4.05];
        let interval = median(&values).unwrap();
        assert!(interval.contains(4.05) && !interval.contains(5.0));
        assert_eq!(median(&values), Some(interval));
    }

    #[test]
    fn a_single_round_or_a_value_of_zero_has_no_interval() {
        assert_eq!(median(&[4.0]), None);
        assert_eq!(median(&[4.0, 0.0, 4.0]), None);
        assert_eq!(apart(&[4.0, 4.0], &[]), None);
    }

    #[test]
    fn values_without_spread_have_an_interval_without_width() {
        let interval = apart(&[6.0; 3], &[3.0; 3]).unwrap();
        assert!((interval.low - 2.0).abs() < 1e-9 && (interval.high - 2.0).abs() < 1e-9);
    }
}
