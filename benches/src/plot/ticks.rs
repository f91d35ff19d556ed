//! Ticks of axes: round numbers, or powers of ten.

use crate::analysis::words::larger_unit;

/// An axis: how values are placed along it, and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// Whether equal distances are equal factors.
    pub(super) logarithmic: bool,
    /// The lowest value.
    pub(super) low: f64,
    /// The highest value.
    pub(super) high: f64,
    /// The ticks, ascending, in values.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// Returns a linear axis that holds `low` to `high`, with about `count` ticks that are round in the unit they are shown in.
    pub(super) fn linear(low: f64, high: f64, count: usize, unit: &str) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let (factor, _) = larger_unit(high, unit);
        let step = round_step((high - low) / count.max(1) as f64 / factor) * factor;
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        // Both are small: `count` steps apart, give or take two.
        let ticks: Vec<f64> = (first as i64..=last as i64)
            .map(|at| at as f64 * step)
            .collect();
        Self {
            logarithmic: false,
            low: first * step,
            high: last * step,
            ticks,
        }
    }

    /// Returns a logarithmic axis that holds `low` to `high`, both above 0, with ticks at powers of ten, and at 2 and 5 times
    /// those if they are few.
    pub(super) fn logarithmic(low: f64, high: f64, unit: &str) -> Self {
        let (factor, _) = larger_unit(high, unit);
        let (low, high) = (low / factor * 0.9, high / factor * 1.1);
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let powers = (first..=last).map(|power| 10f64.powi(power));
        let factors: &[f64] = match high / low < 300.0 {
            true => &[1.0, 2.0, 5.0],
            false => &[1.0],
        };
        let ticks = powers.flat_map(|power| factors.iter().map(move |factor| power * factor));
        Self {
            logarithmic: true,
            low: low * factor,
            high: high * factor,
            ticks: ticks
                .filter(|tick| (low..=high).contains(tick))
                .map(|tick| tick * factor)
                .collect(),
        }
    }

    /// Returns where `value` is along the axis.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => value.max(self.low).log10(),
            false => value,
        }
    }
}

/// Returns the power of ten, or 2, 2.5 or 5 times it, that is nearest above `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0];
    let rounded = factors
        .iter()
        .map(|factor| factor * power)
        .find(|&rounded| rounded >= step * 0.999);
    rounded.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(
            Scale::linear(0.0, 22.5, 5, "").ticks,
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
        );
        assert_eq!(
            Scale::linear(0.9, 1.9, 4, "").ticks,
            [0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
        );
        assert_eq!(
            Scale::logarithmic(2.0, 95.0, "").ticks,
            [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        assert_eq!(
            Scale::logarithmic(40.0, 2e6, "").ticks,
            [100.0, 1e3, 1e4, 1e5, 1e6]
        );
        let mib = 1_048_576.0;
        let bytes = Scale::linear(0.0, 9e6, 5, "B").ticks;
        assert_eq!(bytes[..3], [0.0, 2.0 * mib, 4.0 * mib]);
        assert_eq!(Scale::linear(3.0, 3.0, 4, "").ticks.first(), Some(&3.0));
    }
}
