//! What the rows of a scenario say: samples, ratios to the floor and to bare loops, noise, comparisons, and the finding in words.
//!
//! Everything is computed from [`Results`] whenever it is shown. Tables, plots and pages take their figures from here, so they
//! cannot disagree.

mod bare_loops;
mod baseline;
pub(crate) mod finding;
mod growth;
pub mod words;

use crate::results::{Entrant, Figure, Kind, Metric, Results, ScenarioResults};
use crate::statistics::{self, Comparison, Round, Sample, Spread};

pub use bare_loops::why;
pub use baseline::{Difference, against};
pub use finding::finding;

/// One scenario of some results.
#[derive(Debug, Clone, Copy)]
pub struct Analysis<'r> {
    /// The results.
    pub results: &'r Results,
    /// The scenario, one of theirs.
    pub scenario: &'r ScenarioResults,
}

/// Where a figure is taken: at one point of the axis, or from all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// At this point.
    Point(f64),
    /// The slope from the first to the last point.
    Slope,
}

impl<'r> Analysis<'r> {
    /// Analyses `scenario`, which is one of `results`.
    pub fn of(results: &'r Results, scenario: &'r ScenarioResults) -> Self {
        Self { results, scenario }
    }

    /// Returns the subjects that have rows here, in the order of tables.
    pub fn subjects(&self) -> Vec<&'r Entrant> {
        let took_part = |entrant: &&Entrant| {
            let rows = &self.scenario.rows;
            rows.iter().any(|row| row.subject == entrant.name)
        };
        self.results.subjects.iter().filter(took_part).collect()
    }

    /// Returns the models and other programs: those that a finding compares. A second entry of a subject is not one of them.
    pub fn contestants(&self) -> Vec<&'r Entrant> {
        let mut contestants = self.subjects();
        contestants.retain(|entrant| {
            matches!(entrant.kind, Kind::Model | Kind::External) && entrant.again.is_none()
        });
        contestants
    }

    /// Returns the metric that the finding is about, and where it is taken: the slope of the first figure if it has one, otherwise
    /// the first metric at the last point, or at the point of percentiles.
    pub fn main(&self) -> Option<(&'r Metric, Place)> {
        let points = self.scenario.points();
        match self.scenario.figures.first()? {
            Figure::Lines {
                slope: Some(slope), ..
            } if points.len() > 1 => Some((slope, Place::Slope)),
            Figure::Percentiles { at } => Some((
                self.scenario.metrics.first()?,
                Place::Point(nearest(&points, *at as f64)?),
            )),
            _ => Some((
                self.scenario.metrics.first()?,
                Place::Point(*points.last()?),
            )),
        }
    }

    /// Returns the values of `metric` for `subject`, one for each round; none if any of its rows there is void.
    pub fn sample(&self, subject: &str, metric: &Metric, place: Place) -> Sample {
        match place {
            Place::Point(point) => self.at(subject, &metric.name, point),
            Place::Slope => self.slopes(subject),
        }
    }

    fn at(&self, subject: &str, metric: &str, point: f64) -> Sample {
        if self.scenario.void(subject, point).is_some() {
            return Sample::default();
        }
        let rows = self.scenario.rows_of(subject, point);
        rows.filter_map(|row| {
            let round = Round {
                run: row.run,
                round: row.round,
            };
            Some((round, *row.values.get(metric)?))
        })
        .collect()
    }

    /// The rise from the first to the last point, per unit of the axis, in each round that has both.
    fn slopes(&self, subject: &str) -> Sample {
        let points = self.scenario.points();
        let (Some(metric), [first, .., last]) = (self.main_drawn(), &points[..]) else {
            return Sample::default();
        };
        if !self.voids(subject).is_empty() {
            return Sample::default();
        }
        let (low, high) = (
            self.at(subject, metric, *first),
            self.at(subject, metric, *last),
        );
        let slope = |(low, high): (f64, f64)| (high - low) / (last - first);
        low.paired_with(&high, slope)
    }

    /// Returns the name of the metric that the first figure draws.
    pub(crate) fn main_drawn(&self) -> Option<&'r str> {
        self.drawn(self.scenario.figures.first()?)
    }

    /// Returns the name of the metric that `figure` draws.
    pub(crate) fn drawn(&self, figure: &'r Figure) -> Option<&'r str> {
        match figure {
            Figure::Bars { metric } | Figure::Lines { metric, .. } => Some(metric),
            Figure::Percentiles { .. } => self.scenario.metrics.first().map(|metric| &*metric.name),
        }
    }

    /// Returns the lowest, median and highest value of `metric` for `subject`.
    pub fn spread(&self, subject: &str, metric: &Metric, place: Place) -> Option<Spread> {
        self.sample(subject, metric, place).spread()
    }

    /// Compares two subjects by `metric`, with the noise of that metric and place.
    pub fn compare(
        &self,
        one: &str,
        other: &str,
        metric: &Metric,
        place: Place,
    ) -> Option<Comparison> {
        let (one, other) = (
            self.sample(one, metric, place),
            self.sample(other, metric, place),
        );
        statistics::compare(&one, &other, metric.better, self.noise(metric, place))
    }

    /// Returns the relative difference of the subject that was measured as two (A/A), or `None` if none was.
    pub fn noise(&self, metric: &Metric, place: Place) -> Option<f64> {
        let (one, again) = self.measured_twice()?;
        let (one, again) = (
            self.sample(one, metric, place),
            self.sample(again, metric, place),
        );
        statistics::noise(&one, &again)
    }

    /// Returns the names under which one subject was measured as two.
    pub fn measured_twice(&self) -> Option<(&'r str, &'r str)> {
        let subjects = self.subjects();
        subjects.iter().find_map(|entrant| {
            let again = entrant.again.as_deref()?;
            let took_part = subjects.iter().any(|other| other.name == again);
            took_part.then_some((again, &*entrant.name))
        })
    }

    /// Returns the floor, if it took part.
    pub fn floor(&self) -> Option<&'r Entrant> {
        let mut subjects = self.subjects().into_iter();
        subjects.find(|entrant| entrant.kind == Kind::Floor)
    }

    /// Returns `subject` relative to the floor, each round divided by the floor's of that round.
    pub fn to_floor(&self, subject: &Entrant, metric: &Metric, place: Place) -> Option<Spread> {
        let floor = self.floor().filter(|floor| floor.name != subject.name)?;
        self.relative(subject, &floor.name, metric, place)
    }

    /// Returns `subject` relative to the bare loop of its kind, round by round.
    pub fn to_baseline(&self, subject: &Entrant, metric: &Metric, place: Place) -> Option<Spread> {
        self.relative(subject, subject.baseline.as_deref()?, metric, place)
    }

    fn relative(
        &self,
        subject: &Entrant,
        base: &str,
        metric: &Metric,
        place: Place,
    ) -> Option<Spread> {
        let base = self.sample(base, metric, place);
        let of = self.sample(&subject.name, metric, place);
        of.relative_to(&base).spread()
    }

    /// Returns the points that `subject` is void at, each with the reason.
    pub fn voids(&self, subject: &str) -> Vec<(f64, &'r str)> {
        let void = |point: f64| Some((point, self.scenario.void(subject, point)?));
        let points = self.scenario.points().into_iter();
        points.filter_map(void).collect()
    }

    /// Returns the most rounds that a subject has at a point, of all runs together.
    pub fn rounds(&self) -> usize {
        let points = self.scenario.points();
        let rounds = |entrant: &Entrant| {
            let count = |&point: &f64| self.scenario.rows_of(&entrant.name, point).count();
            points.iter().map(count).max().unwrap_or(0)
        };
        self.subjects().into_iter().map(rounds).max().unwrap_or(0)
    }
}

/// Returns the one of `points` that is nearest to `wanted`.
pub(crate) fn nearest(points: &[f64], wanted: f64) -> Option<f64> {
    let distance = |point: &f64| (point - wanted).abs();
    let nearer = |one: &&f64, other: &&f64| distance(one).total_cmp(&distance(other));
    points.iter().min_by(nearer).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Better, FORMAT, Row};

    fn row(round: usize, point: f64, cpu: Option<f64>) -> Row {
        Row {
            run: 0,
            round,
            subject: "streams".to_owned(),
            point,
            values: cpu
                .map(|cpu| ("cpu_us".to_owned(), cpu))
                .into_iter()
                .collect(),
            histogram: None,
            void: cpu.is_none().then(|| "a wrong byte".to_owned()),
        }
    }

    fn results(rows: Vec<Row>) -> Results {
        let scenario = ScenarioResults {
            name: "transform-keepalive".to_owned(),
            metrics: vec![Metric::new("cpu_us", "", "", Better::Lower)],
            figures: vec![Figure::bars("cpu_us")],
            rows,
            ..ScenarioResults::default()
        };
        Results {
            format: FORMAT,
            runs: Vec::new(),
            subjects: Vec::new(),
            scenarios: vec![scenario],
        }
    }

    #[test]
    fn one_void_row_voids_the_values_of_its_subject_and_point() {
        let rows = vec![
            row(0, 64.0, Some(4.0)),
            row(1, 64.0, None),
            row(0, 1.0, Some(5.0)),
        ];
        let results = results(rows);
        let scenario = &results.scenarios[0];
        let values = |point| {
            let analysis = Analysis::of(&results, scenario);
            let sample = analysis.sample("streams", &scenario.metrics[0], Place::Point(point));
            sample.values()
        };
        assert_eq!(scenario.points(), [1.0, 64.0]);
        assert_eq!(values(1.0), [5.0]);
        assert!(values(64.0).is_empty());
        assert_eq!(scenario.void("streams", 64.0), Some("a wrong byte"));
    }
}
