//! Instructions per request in user space, by callgrind.

use super::transform::plan;
use super::{About, Extent, Reading, Scenario, Setting, metrics, reasons, served};
use crate::instructions::{REQUESTS, count};
use crate::load::Plan;
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// Transform servers under callgrind.
pub(super) struct Counted {
    keep_alive: bool,
}

impl Counted {
    pub(super) const KEEP_ALIVE: Self = Self { keep_alive: true };
    pub(super) const ONE_SHOT: Self = Self { keep_alive: false };
}

impl Scenario for Counted {
    fn about(&self, _: Extent) -> About {
        let method = format!(
            "User-space instructions of the server by callgrind, in runs of {} and {} requests of a 600-byte poem on 64 connections: \
             the difference per request, so that starting and stopping cancel out. Other load on the machine hardly changes it, so \
             it is counted once.",
            REQUESTS.0, REQUESTS.1
        );
        match self.keep_alive {
            true => About {
                name: "instructions",
                question: "How many instructions does a request take in user space, on connections that stay open?",
                lesson: "The kernel's part of a request is about the same for all. What is left is the model's own bookkeeping, \
                         counted without noise.",
                method,
                reason: Some(reasons::REQUESTS),
                axis: Some(Axis::linear("requests in flight on each connection", "")),
                quick: false,
            },
            false => About {
                name: "instructions-oneshot",
                question: "How many instructions does a connection with one request take in user space?",
                lesson: "Besides the request, a connection's state is made and dropped, and it is closed so that no byte is lost.",
                method,
                reason: Some(reasons::CLOSING),
                axis: None,
                quick: false,
            },
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, _: Extent) -> Vec<f64> {
        match self.keep_alive {
            true => vec![1.0, 16.0],
            false => vec![0.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![metrics::lower(
            "instructions",
            "instructions per request",
            "",
        )]
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::bars("instructions")]
    }

    fn rounds_max(&self) -> Option<usize> {
        Some(1)
    }

    fn needs(&self) -> Option<&'static str> {
        Some("valgrind")
    }

    fn seconds(&self, _: f64, _: Extent) -> f64 {
        // Two runs, and valgrind starts a program in a second or two.
        8.0
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::transform(self.keep_alive);
        let launch = served::launch(subject, &mode, setting)?;
        let plan = Plan {
            keep_alive: self.keep_alive,
            depth: (point as usize).max(1),
            ..plan(setting.extent)?
        };
        let counted = count(&launch, &plan, REQUESTS, &setting.file("callgrind"))?;
        let mut reading = Reading::default();
        reading.add("instructions", Some(counted.per_request()));
        Ok(reading)
    }
}
