//! Transform servers with one thread and with two.

use super::transform::{plan, window_in_words, window_seconds};
use super::{About, Extent, Reading, Scenario, Setting, metrics, served};
use crate::pinning::Pinning;
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// What a second thread gives.
pub(super) struct TwoCores;

impl Scenario for TwoCores {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        About {
            name: "two-cores",
            question: "How many more requests does a second thread serve?",
            lesson: "Connections are dealt out to threads that share nothing but counters, so two threads can do twice the work, if \
                     there are cores for them and for the clients. Where the load generator needs one of two cores, it is the limit.",
            method: format!(
                "Closed loop: 64 keep-alive connections, a request of a 600-byte poem in flight on each, neither side pinned, {window}. \
                 The axis is the option --threads. Every byte of every reply is compared."
            ),
            reason: None,
            axis: Some(Axis::linear("threads", "")),
            quick: false,
        }
    }

    fn applies(&self, subject: &Subject) -> bool {
        subject.plays(Role::Transform) && subject.takes_threads()
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, _: Extent) -> Vec<f64> {
        vec![1.0, 2.0]
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![metrics::rate(), metrics::cpu()];
        [first, metrics::latencies(), metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::lines("rate")]
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::transform(true);
        let unpinned = Setting::new(setting.extent, Pinning::NONE, point as usize, setting.seed)
            .map_err(|error| error.to_string())?;
        Ok(served::load(subject, &mode, plan(setting.extent)?, &unpinned)?.reading())
    }
}
