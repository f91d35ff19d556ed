//! The results of measurements: every raw row, with what is needed to read it. This is the content of `results.json`.
//!
//! All scenarios share one shape: a row is one subject in one round at one point of the scenario's axis, with values by the name of
//! their metric. Nothing here is computed from rows: medians, ratios and findings are computed again whenever results are shown, so
//! that they can never contradict the rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::environment::Environment;

/// The version of the format, which changes with every change that an older reader would misunderstand.
pub const FORMAT: u32 = 2;
/// The oldest version that can still be read: a scenario had one `figure` instead of `figures`.
pub(crate) const OLDEST_FORMAT: u32 = 1;

/// The results of one run, or of several merged ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// The runs, in the order of merging; usually one.
    pub runs: Vec<Run>,
    /// The subjects, in the order of tables and legends.
    pub subjects: Vec<Entrant>,
    /// The scenarios, in the order of measuring.
    pub scenarios: Vec<ScenarioResults>,
}

/// One run of the measuring command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The command line, to repeat the run.
    pub command: String,
    /// The program and its version, such as `quatrain 0.1.0`.
    pub tool: String,
    /// The environment at its start.
    pub environment: Environment,
    /// Whether it measured everything that it set out to. An interrupted run keeps what it has.
    pub complete: bool,
}

/// A subject as it took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrant {
    /// Its name, unique among the subjects.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The bare loop of its kind, if that takes part: the name of another subject.
    pub baseline: Option<String>,
    /// If this is another subject entered a second time (A/A): that subject's name. The difference between the two is noise.
    pub again: Option<String>,
    /// The command that starts it, with its placeholders.
    pub command: String,
}

/// The kind of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The least that a server or client can cost (MEASURING 2).
    Floor,
    /// One of the models.
    Model,
    /// A bare loop: what one would write without the models.
    Bare,
    /// Another program (MEASURING 12).
    External,
}

/// One scenario with all its rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResults {
    /// Its name on the command line, such as `transform-keepalive`.
    pub name: String,
    /// The question it asks, a sentence.
    pub question: String,
    /// What its answer teaches, a sentence or two.
    pub lesson: String,
    /// How it was measured: load, warm-up, timed window, sizes; a sentence or two.
    pub method: String,
    /// Why a model may be behind the bare loop of its kind: what it does that the loop does not. It is none where that explains
    /// no difference.
    pub reason: Option<String>,
    /// The command that measures it again.
    pub command: String,
    /// The axis of its points, if it has more than one.
    pub axis: Option<Axis>,
    /// What its rows measure. The first metric is the one that the finding is about.
    pub metrics: Vec<Metric>,
    /// How it is drawn, in one figure or more; the finding is about the first.
    #[serde(alias = "figure", deserialize_with = "one_or_more")]
    pub figures: Vec<Figure>,
    /// The raw rows, in the order of measuring.
    pub rows: Vec<Row>,
}

/// Reads the figures of a scenario, or the one `figure` of the oldest format.
fn one_or_more<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Figure>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(Figure),
        More(Vec<Figure>),
    }
    Ok(match OneOrMore::deserialize(source)? {
        OneOrMore::One(figure) => vec![figure],
        OneOrMore::More(figures) => figures,
    })
}

/// The axis of a scenario's points, such as the number of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What it counts, such as `connections`.
    pub title: String,
    /// Its unit, such as `requests/s`; empty for a count.
    pub unit: String,
    /// Whether equal distances are equal factors.
    pub logarithmic: bool,
}

/// Something that a row measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its key in [`Row::values`], such as `cpu_us`.
    pub name: String,
    /// Its title in tables and figures, such as `CPU per request`.
    pub title: String,
    /// Its unit, such as `µs`; empty for a ratio or a count. Values in `B` are shown as KiB and MiB where that is shorter, and in
    /// `ns` as µs, ms and s.
    pub unit: String,
    /// Which values are better, if either are.
    pub better: Better,
    /// Whether tables leave it out unless all columns are asked for. Results of earlier programs do not say so.
    #[serde(default)]
    pub detail: bool,
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The lower ones.
    Lower,
    /// The higher ones.
    Higher,
    /// Neither: the value describes.
    Neither,
}

/// How a scenario is drawn. Metrics are given by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Figure {
    /// A bar for each subject, with its spread.
    Bars {
        /// The length of the bars.
        metric: String,
    },
    /// A line for each subject along the axis, with its spread.
    Lines {
        /// The height of the lines.
        metric: String,
        /// Whether the heights' equal distances are equal factors.
        logarithmic: bool,
        /// A value that cannot be passed, drawn as a line of its own: for example 1 for elapsed over ideal.
        ideal: Option<u64>,
        /// What the slope of the lines is called, if that is what the finding is about: for example memory per connection. It is
        /// computed for each round from the first to the last point, so it has no key in the rows.
        slope: Option<Metric>,
    },
    /// Latency by percentile for each subject, from the histograms of the point nearest to `at` on the axis.
    Percentiles {
        /// The point whose histograms are drawn.
        at: u64,
    },
}

/// One subject, in one round, at one point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The run, an index into [`Results::runs`].
    pub run: usize,
    /// The round, from 0.
    pub round: usize,
    /// The subject's name.
    pub subject: String,
    /// The point on the axis; 0 in a scenario without one.
    pub point: f64,
    /// The values by the name of their metric. A value that the system or the subject does not provide is absent.
    pub values: BTreeMap<String, f64>,
    /// The tag of the row's histogram in the scenario's file of histograms, if it has one.
    pub histogram: Option<String>,
    /// Why the row is void, if it is: then it has no values.
    pub void: Option<String>,
}

impl Results {
    /// Returns the scenario of this name.
    pub fn scenario(&self, name: &str) -> Option<&ScenarioResults> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }
}

impl Metric {
    /// Returns a metric that is no detail.
    pub fn new(name: &str, title: &str, unit: &str, better: Better) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            better,
            detail: false,
        }
    }
}

impl Axis {
    /// Returns an axis on which equal distances are equal differences.
    pub fn linear(title: &str, unit: &str) -> Self {
        Self {
            title: title.to_owned(),
            unit: unit.to_owned(),
            logarithmic: false,
        }
    }

    /// Returns an axis on which equal distances are equal factors.
    pub fn logarithmic(title: &str, unit: &str) -> Self {
        Self {
            logarithmic: true,
            ..Self::linear(title, unit)
        }
    }
}

impl Figure {
    /// Returns bars of `metric`.
    pub fn bars(metric: &str) -> Self {
        Self::Bars {
            metric: metric.to_owned(),
        }
    }

    /// Returns lines of `metric` at linear heights, without an ideal and a slope.
    pub fn lines(metric: &str) -> Self {
        Self::Lines {
            metric: metric.to_owned(),
            logarithmic: false,
            ideal: None,
            slope: None,
        }
    }
}

impl ScenarioResults {
    /// Returns the points that were measured, ascending.
    pub fn points(&self) -> Vec<f64> {
        let mut points: Vec<f64> = self.rows.iter().map(|row| row.point).collect();
        points.sort_by(f64::total_cmp);
        points.dedup();
        points
    }

    /// Returns the rows of `subject` at `point`, void ones included.
    pub fn rows_of<'r>(&'r self, subject: &str, point: f64) -> impl Iterator<Item = &'r Row> {
        let of = move |row: &&Row| row.subject == subject && row.point == point;
        self.rows.iter().filter(of)
    }

    /// Returns the reason of the first void row of `subject` at `point`.
    pub fn void<'r>(&'r self, subject: &str, point: f64) -> Option<&'r str> {
        self.rows_of(subject, point)
            .find_map(|row| row.void.as_deref())
    }

    /// Returns the metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_tagged_by_their_kind() {
        let lines = Figure::Lines {
            metric: "to_ideal".to_owned(),
            logarithmic: true,
            ideal: Some(1),
            slope: None,
        };
        let text = serde_json::to_string(&lines).unwrap();
        assert!(text.contains(r#""kind":"lines""#), "{text}");
        assert_eq!(serde_json::from_str::<Figure>(&text).unwrap(), lines);
    }
}
