//! The differences between two results: which of them are real.

use super::{Analysis, Place};
use crate::results::{Entrant, Metric, Results};
use crate::statistics::{self, Comparison, Sample};

/// A figure of a subject that both results have.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The scenario.
    pub scenario: String,
    /// The subject.
    pub subject: String,
    /// The metric that was compared: the main one of the scenario.
    pub metric: Metric,
    /// Where it was taken.
    pub place: Place,
    /// Whether both were taken relative to the floor of their round. Otherwise the speed of the machine is part of the difference.
    pub to_floor: bool,
    /// The median before.
    pub before: f64,
    /// The median now.
    pub now: f64,
    /// Now beside before.
    pub comparison: Comparison,
}

/// Compares `now` with `before`, for every scenario, point and subject that both have, by the scenario's main metric, which must be
/// the same in both; the others may be more or fewer.
///
/// Machines have good and bad days, so figures are compared relative to the floor of the same round where both have one
/// (MEASURING 11). The noise is the larger of the two.
pub fn against(now: &Results, before: &Results) -> Vec<Difference> {
    let mut differences = Vec::new();
    for scenario in &now.scenarios {
        let Some(earlier) = before.scenario(&scenario.name) else {
            continue;
        };
        let pair = Pair {
            now: Analysis::of(now, scenario),
            before: Analysis::of(before, earlier),
        };
        differences.extend(pair.differences());
    }
    differences
}

/// One scenario in both results.
struct Pair<'r> {
    now: Analysis<'r>,
    before: Analysis<'r>,
}

impl Pair<'_> {
    fn differences(&self) -> Vec<Difference> {
        let (Some((metric, place)), Some((earlier, _))) = (self.now.main(), self.before.main())
        else {
            return Vec::new();
        };
        if metric != earlier {
            return Vec::new();
        }
        let places = match place {
            Place::Slope => vec![place],
            Place::Point(_) => self.common_points(),
        };
        let mut differences = Vec::new();
        for place in places {
            for subject in self.now.subjects() {
                differences.extend(self.difference(subject, metric, place));
            }
        }
        differences
    }

    fn common_points(&self) -> Vec<Place> {
        let earlier = self.before.scenario.points();
        let points = self.now.scenario.points().into_iter();
        let common = points.filter(|point| earlier.contains(point));
        common.map(Place::Point).collect()
    }

    fn difference(&self, subject: &Entrant, metric: &Metric, place: Place) -> Option<Difference> {
        let name = &subject.name;
        let (now, before) = (
            self.now.sample(name, metric, place),
            self.before.sample(name, metric, place),
        );
        let floors = (
            floor(&self.now, subject, metric, place),
            floor(&self.before, subject, metric, place),
        );
        let (to_floor, one, other) = match floors {
            (Some(new), Some(old)) => (true, now.relative_to(&new), before.relative_to(&old)),
            _ => (false, now.clone(), before.clone()),
        };
        let noises = [
            self.now.noise(metric, place),
            self.before.noise(metric, place),
        ];
        let noise = noises.into_iter().flatten().reduce(f64::max);
        // Rounds of two results have nothing in common but their number.
        let (one, other) = (in_run(&one, 0), in_run(&other, 1));
        Some(Difference {
            scenario: self.now.scenario.name.clone(),
            subject: name.clone(),
            metric: metric.clone(),
            place,
            to_floor,
            before: before.spread()?.median,
            now: now.spread()?.median,
            comparison: statistics::compare(&one, &other, metric.better, noise)?,
        })
    }
}

/// The floor's values, to which `subject` is related; none for the floor itself.
fn floor(
    analysis: &Analysis<'_>,
    subject: &Entrant,
    metric: &Metric,
    place: Place,
) -> Option<Sample> {
    let floor = analysis
        .floor()
        .filter(|floor| floor.name != subject.name)?;
    let sample = analysis.sample(&floor.name, metric, place);
    (sample.rounds() > 0).then_some(sample)
}

/// The same values as rounds of `run`.
fn in_run(sample: &Sample, run: usize) -> Sample {
    let values = sample.values().into_iter().enumerate();
    values
        .map(|(round, value)| (statistics::Round { run, round }, value))
        .collect()
}
