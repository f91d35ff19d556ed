//! Transform servers of which a few requests are heavy, in an open loop.

use super::transform::{plan, window_in_words, window_seconds};
use super::{About, Extent, Reading, Scenario, Setting, metrics, served};
use crate::exchange::Exchange;
use crate::load::{Arrival, Gaps, Mix, Plan};
use crate::results::{Figure, Kind, Metric};
use crate::subject::{Mode, Role, Subject};

/// One request of a hundred computes for 10 ms.
pub(super) struct Mixed {
    /// With each model's remedy.
    pub(super) offload: bool,
}

/// Requests per second: the heavy ones then take a tenth of a core.
const RATE: f64 = 1_000.0;
/// The heavy ones among them.
const SHARE: f64 = 0.01;

impl Scenario for Mixed {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        let method = format!(
            "Open loop: 1,000 requests a second on 64 connections, 1 % of them `burn`, which computes for 10 ms; each is timed from \
             the moment when it was due. Latencies are those of the other requests, {window}. Every byte of every reply is compared."
        );
        match self.offload {
            false => About {
                name: "mixed",
                question: "What do a few requests that compute for long do to the latency of all the others?",
                lesson: "A loop that computes does nothing else: everyone waits behind the heavy request. Threads do not wait for \
                         each other, as long as there is a core.",
                method,
                reason: None,
                axis: None,
                quick: false,
            },
            true => About {
                name: "mixed-offload",
                question: "What does each model's remedy for heavy requests make of that latency?",
                lesson: "With `serve transform --offload` the heavy requests are computed elsewhere: by deferring to a thread, in \
                         worker processes, by `spawn_blocking`. Compare with mixed.",
                method,
                reason: None,
                axis: None,
                quick: false,
            },
        }
    }

    fn applies(&self, subject: &Subject) -> bool {
        let laboratory = match self.offload {
            true => subject.kind == Kind::Model,
            false => subject.kind != Kind::Floor,
        };
        laboratory && subject.plays(Role::Transform)
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, _: Extent) -> Vec<f64> {
        vec![0.0]
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![metrics::p99(), metrics::cpu(), metrics::rate()];
        [first, metrics::other_latencies(), metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::bars("p99"), Figure::Percentiles { at: 0 }]
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, _: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::Transform {
            keep_alive: true,
            lab: true,
            offload: self.offload,
        };
        let plan = Plan {
            arrival: Arrival::Open {
                rate: RATE,
                gaps: Gaps::Equal,
            },
            mix: Some(Mix {
                share: SHARE,
                exchange: Exchange::transform("burn", "x")?,
            }),
            seed: setting.seed,
            ..plan(setting.extent)?
        };
        Ok(served::load(subject, &mode, plan, setting)?.reading())
    }
}
