//! Transform servers in an open loop below and beyond their capacity.

use super::transform::{plan, window_in_words, window_seconds};
use super::{About, Extent, Reading, Scenario, Setting, metrics, served};
use crate::load::{Arrival, Gaps, Plan};
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// Offered rates relative to what a closed loop reaches.
pub(super) struct Overload;

/// Connections of the open loop: beyond capacity all of them are busy, and further requests wait.
const CONNECTIONS: usize = 256;

impl Scenario for Overload {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        About {
            name: "overload",
            question: "What becomes of latency and goodput when more requests come than can be served?",
            lesson: "A closed loop hides overload, because its clients wait. In an open loop requests come all the same: below \
                     capacity latency is short, beyond it every request waits longer than the one before.",
            method: format!(
                "First a closed loop over 256 keep-alive connections with a 600-byte poem finds the capacity of this process, then an \
                 open loop offers the share of it that the axis says, in equal gaps, {window}. Latency counts from the moment when a \
                 request was due; those that still wait at the end count with their time so far. Every byte of every reply is compared."
            ),
            reason: None,
            axis: Some(Axis::linear("offered load", "% of the capacity")),
            quick: false,
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match extent {
            Extent::Quick => vec![50.0, 150.0],
            Extent::Full => vec![50.0, 75.0, 100.0, 150.0, 200.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![
            metrics::p99(),
            metrics::higher("goodput", "goodput over offered load", "%"),
            metrics::rate(),
            metrics::describing("capacity", "capacity in a closed loop", "requests/s"),
            metrics::cpu(),
        ];
        [first, metrics::other_latencies(), metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::Lines {
                metric: "p99".to_owned(),
                logarithmic: true,
                ideal: None,
                slope: None,
            },
            // Beyond it, how well the capacity was found decides.
            Figure::Percentiles { at: 75 },
        ]
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        2.0 * window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::transform(true);
        let closed = Plan {
            connections: CONNECTIONS,
            ..plan(setting.extent)?
        };
        let (share, mut capacity) = (point / 100.0, 0.0);
        let open = |rate: f64| {
            capacity = rate;
            Plan {
                arrival: Arrival::Open {
                    rate: rate * share,
                    gaps: Gaps::Equal,
                },
                ..closed.clone()
            }
        };
        let served = served::load_twice(subject, &mode, closed.clone(), open, setting)?;
        let goodput = served.report.rate() * 100.0 / (capacity * share);
        let mut reading = served.reading();
        reading.add("capacity", Some(capacity));
        reading.add("goodput", Some(goodput));
        Ok(reading)
    }
}
