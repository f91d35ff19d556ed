//! Scenarios: what is asked of the subjects. Each has a name, a question, and a way to measure one subject at one point once.
//!
//! [`all`] lists them in the order of measuring. The [`runner`](crate::runner) repeats them in interleaved rounds.

mod cancel;
mod fan_out;
mod idle;
mod instructions;
mod metrics;
mod mixed;
mod overload;
mod poems_served;
mod proxy_miss;
mod reasons;
mod served;
mod slow_poems;
mod transform;
mod two_cores;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use hdrhistogram::Histogram;

use crate::pinning::Pinning;
use crate::results::{Axis, Figure, Metric, ScenarioResults};
use crate::scratch::Scratch;
use crate::subject::{Role, Subject};

/// Something to measure.
pub trait Scenario {
    /// What it is about, in words; the method is that of `extent`.
    fn about(&self, extent: Extent) -> About;

    /// Whether `subject` can take part: if it plays the role it is verified in, unless the scenario needs more or something else.
    fn applies(&self, subject: &Subject) -> bool {
        self.verified_as().is_some_and(|role| subject.plays(role))
    }

    /// The role that a subject must have been verified in before it is measured; `None` if everything that it does is checked
    /// while it is measured.
    fn verified_as(&self) -> Option<Role>;

    /// The points of its axis, ascending; one, 0, without an axis.
    fn points(&self, extent: Extent) -> Vec<f64>;

    /// What its rows measure. The first is the one that the finding is about.
    fn metrics(&self) -> Vec<Metric>;

    /// How it is drawn; the finding is about the first.
    fn figures(&self) -> Vec<Figure>;

    /// The rounds that suffice, if they are fewer than for the others: a count that does not vary.
    fn rounds_max(&self) -> Option<usize> {
        None
    }

    /// A program that must be installed, if there is one.
    fn needs(&self) -> Option<&'static str> {
        None
    }

    /// The seconds that measuring one subject at `point` takes, about. Only the time left that is shown depends on it.
    fn seconds(&self, point: f64, extent: Extent) -> f64;

    /// Measures `subject` at `point` once.
    ///
    /// # Errors
    /// Why the row is void.
    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String>;
}

/// What a scenario is about.
#[derive(Debug, Clone)]
pub struct About {
    /// Its name on the command line, such as `transform-keepalive`.
    pub name: &'static str,
    /// The question it asks, a sentence.
    pub question: &'static str,
    /// What its answer teaches, a sentence or two.
    pub lesson: &'static str,
    /// How it is measured: load, sizes, what is timed.
    pub method: String,
    /// Why a model may be behind the bare loop of its kind: what it does that the loop does not, a sentence or two.
    pub reason: Option<&'static str>,
    /// The axis of its points, if it has more than one.
    pub axis: Option<Axis>,
    /// Whether the default, quick run has it.
    pub quick: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A first look within a minute: short windows and few points.
    Quick,
    /// Everything, for figures to publish.
    Full,
}

/// The values of one row.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// By the name of their metric.
    pub values: BTreeMap<String, f64>,
    /// Latencies, in nanoseconds.
    pub histogram: Option<Histogram<u64>>,
}

impl Reading {
    /// Adds the value of a metric, if there is one.
    pub fn add(&mut self, metric: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.values.insert(metric.to_owned(), value);
        }
    }
}

/// Where and how much is measured.
#[derive(Debug)]
pub struct Setting {
    /// The extent.
    pub extent: Extent,
    /// The cores of both sides.
    pub pinning: Pinning,
    /// The servers' threads, unless they are what a scenario varies.
    pub threads: usize,
    /// The seed of whatever the scenarios choose at random.
    pub seed: u64,
    scratch: Scratch,
}

impl Setting {
    /// Creates a setting with a temporary folder of its own.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(extent: Extent, pinning: Pinning, threads: usize, seed: u64) -> io::Result<Self> {
        Ok(Self {
            extent,
            pinning,
            threads,
            seed,
            scratch: Scratch::new()?,
        })
    }

    /// Returns the path of a file or folder for temporary use.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }
}

/// Every scenario, in the order of measuring.
pub fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(transform::Loaded::KEEP_ALIVE),
        Box::new(transform::Loaded::ONE_SHOT),
        Box::new(transform::Loaded::PIPELINED),
        Box::new(idle::Idle),
        Box::new(slow_poems::SlowPoems),
        Box::new(fan_out::FanOut),
        Box::new(poems_served::PoemsServed::Fast),
        Box::new(poems_served::PoemsServed::ProxyHit),
        Box::new(proxy_miss::ProxyMiss),
        Box::new(mixed::Mixed { offload: false }),
        Box::new(mixed::Mixed { offload: true }),
        Box::new(overload::Overload),
        Box::new(cancel::Cancel),
        Box::new(two_cores::TwoCores),
        Box::new(instructions::Counted::KEEP_ALIVE),
        Box::new(instructions::Counted::ONE_SHOT),
    ]
}

impl dyn Scenario {
    /// Returns its results without rows; `command` measures it again.
    pub(crate) fn empty_results(&self, extent: Extent, command: String) -> ScenarioResults {
        let about = self.about(extent);
        ScenarioResults {
            name: about.name.to_owned(),
            question: about.question.to_owned(),
            lesson: about.lesson.to_owned(),
            method: about.method,
            reason: about.reason.map(str::to_owned),
            command,
            axis: about.axis,
            metrics: self.metrics(),
            figures: self.figures(),
            rows: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_draws_what_it_measures() {
        let mut names = Vec::new();
        for scenario in all() {
            let about = scenario.about(Extent::Full);
            let reason = about.reason.unwrap_or(".");
            for text in [about.question, about.lesson, &about.method, reason] {
                assert!(text.ends_with(['.', '?']), "{}: {text:?}", about.name);
            }
            let metrics = scenario.metrics();
            let figures = scenario.figures();
            assert!(!figures.is_empty(), "{}", about.name);
            for figure in figures {
                let drawn = match figure {
                    Figure::Bars { metric } | Figure::Lines { metric, .. } => metric,
                    Figure::Percentiles { at } => {
                        let full = scenario.points(Extent::Full);
                        assert!(full.contains(&(at as f64)), "{}", about.name);
                        metrics[0].name.clone()
                    }
                };
                assert!(
                    metrics.iter().any(|metric| metric.name == drawn),
                    "{}",
                    about.name
                );
            }
            names.push(about.name);
        }
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn points_ascend_and_have_an_axis_if_they_are_several() {
        for scenario in all() {
            for extent in [Extent::Quick, Extent::Full] {
                let points = scenario.points(extent);
                assert!(points.is_sorted() && !points.is_empty());
                assert!(scenario.about(extent).axis.is_some() || points == [0.0]);
                assert!(
                    points
                        .iter()
                        .all(|&point| scenario.seconds(point, extent) > 0.0)
                );
            }
        }
    }
}
