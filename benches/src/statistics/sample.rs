//! The values of one figure by round, and their spread.

use std::collections::BTreeMap;

/// Several measurements of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The lowest.
    pub low: f64,
    /// The middle one.
    pub median: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Returns the spread of `values`, or `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        let median = median(&mut values)?;
        Some(Self {
            low: *values.first()?,
            median,
            high: *values.last()?,
        })
    }
}

/// Sorts `values`, and returns the middle one, or the mean of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => Some(values[middle]),
        _ => Some((values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0),
    }
}

/// A round of measuring: the run, and the round within it. Subjects that were measured in the same round had the same conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round {
    /// The run.
    pub run: usize,
    /// The round in that run.
    pub round: usize,
}

/// The values of one figure, one for each round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    by_round: BTreeMap<Round, f64>,
}

impl FromIterator<(Round, f64)> for Sample {
    /// Values that are not finite are left out.
    fn from_iter<I: IntoIterator<Item = (Round, f64)>>(values: I) -> Self {
        let finite = values.into_iter().filter(|(_, value)| value.is_finite());
        Self {
            by_round: finite.collect(),
        }
    }
}

impl Sample {
    /// Returns a sample of the rounds 0, 1, … of one run.
    pub fn of_rounds(values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().enumerate();
        values
            .map(|(round, value)| (Round { run: 0, round }, value))
            .collect()
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> usize {
        self.by_round.len()
    }

    /// Returns the values, in the order of rounds.
    pub fn values(&self) -> Vec<f64> {
        self.by_round.values().copied().collect()
    }

    /// Returns the lowest, the median and the highest value, or `None` if there are none.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.by_round.values().copied())
    }

    /// Returns the pairs of values of the rounds that both have.
    pub fn pairs(&self, other: &Self) -> Vec<(f64, f64)> {
        let pair = |(round, &one): (&Round, &f64)| Some((one, *other.by_round.get(round)?));
        self.by_round.iter().filter_map(pair).collect()
    }

    /// Returns each value divided by that of `base` in the same round.
    pub fn relative_to(&self, base: &Self) -> Self {
        self.paired_with(base, |(value, base)| value / base)
    }

    /// Returns what `combine` makes of the two values of each round that both have.
    pub fn paired_with(&self, other: &Self, combine: impl Fn((f64, f64)) -> f64) -> Self {
        let combined = |(&round, &one): (&Round, &f64)| {
            let other = *other.by_round.get(&round)?;
            Some((round, combine((one, other))))
        };
        self.by_round.iter().filter_map(combined).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 4.0]), Some(3.0));
        let spread = Spread::of([9.0, 1.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.0, 3.0, 9.0));
    }

    #[test]
    fn samples_are_paired_by_round() {
        let round = |round| Round { run: 0, round };
        let one: Sample = [(round(0), 2.0), (round(1), 4.0), (round(2), f64::NAN)]
            .into_iter()
            .collect();
        let other: Sample = [(round(1), 8.0), (round(2), 9.0)].into_iter().collect();
        assert_eq!(one.rounds(), 2);
        assert_eq!(one.pairs(&other), [(4.0, 8.0)]);
        assert_eq!(one.relative_to(&other).values(), [0.5]);
    }
}
