//! Memory of idle connections, each of which has made one request (MEASURING 7).
//!
//! User space is the server's own anonymous memory. The kernel's share is only known for the whole machine, including both ends
//! of every connection; it is reported apart, and means something on a quiet machine only.

use super::{About, Extent, Reading, Scenario, Setting, metrics, reasons, served};
use crate::exchange::{Exchange, POEM_BYTES};
use crate::load::{LoadError, Plan, hold};
use crate::process::{kernel_memory, with_affinity};
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// How much memory a server has with idle connections.
pub(super) struct Idle;

/// Connections made, used and closed in a second; measured. Threads take longest.
const CONNECTIONS_PER_SECOND: f64 = 8_000.0;

impl Scenario for Idle {
    fn about(&self, _: Extent) -> About {
        About {
            name: "idle",
            question: "How much memory does a connection cost that waits?",
            lesson: "Most connections of most servers wait. What a model keeps for each of them meanwhile, be it a stack, a task, a \
                     mailbox or a few fields, decides how many fit.",
            method: "Every connection makes one request of a 600-byte poem and then stays idle. Memory is the server's anonymous \
                     memory (RssAnon) with all of them open, and memory per connection the slope of it, which excludes the server \
                     itself. The kernel's is that of the whole machine, both ends of every connection included."
                .to_owned(),
            reason: Some(reasons::WAITING),
            axis: Some(Axis::linear("idle connections", "")),
            quick: true,
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match extent {
            Extent::Quick => vec![500.0, 2_000.0],
            Extent::Full => vec![1_000.0, 5_000.0, 10_000.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![
            metrics::lower("own_memory", "the server's own memory", "B"),
            metrics::describing("kernel_memory", "the kernel's, per connection", "B"),
            metrics::describing("threads", "threads", ""),
        ]
    }

    fn figures(&self) -> Vec<Figure> {
        let slope = metrics::lower("per_connection", "memory per idle connection", "B");
        vec![Figure::Lines {
            metric: "own_memory".to_owned(),
            logarithmic: false,
            ideal: None,
            slope: Some(slope),
        }]
    }

    fn seconds(&self, point: f64, _: Extent) -> f64 {
        point / CONNECTIONS_PER_SECOND + served::AROUND_SECONDS
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::transform(true);
        let process = served::start(subject, &mode, setting)?;
        let exchange = Exchange::cummingsify(POEM_BYTES)?;
        let kernel_before = kernel_memory();
        let climb = || -> Result<_, LoadError> {
            let held = hold(
                process.address(),
                exchange,
                point as usize,
                Plan::STALL_TIMEOUT,
            )?;
            Ok((process.usage(), kernel_memory(), held))
        };
        let (usage, kernel, held) = with_affinity(setting.pinning.client, climb)
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let ledger = held.release().map_err(|error| error.to_string())?;
        served::stop(process, &mode, &ledger)?;
        let per_connection = |(before, after): (u64, u64)| (after as f64 - before as f64) / point;
        let mut reading = Reading::default();
        reading.add("own_memory", usage.own_memory.map(|bytes| bytes as f64));
        reading.add(
            "kernel_memory",
            kernel_before.zip(kernel).map(per_connection),
        );
        reading.add("threads", usage.threads.map(|threads| threads as f64));
        Ok(reading)
    }
}
