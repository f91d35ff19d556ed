//! The counters of S23 as metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use poetry::Counts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::stats::ServiceCounts;

/// The counts that the next scrape encodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Scraped(Arc<Mutex<Vec<ServiceCounts>>>);

impl Scraped {
    pub(super) fn set(&self, readings: Vec<ServiceCounts>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = readings;
    }
}

/// A number without a reason: its name, help and type, and where it is in the counts.
type Number = (&'static str, &'static str, MetricType, fn(&Counts) -> u64);

const NUMBERS: &[Number] = &[
    (
        "connections_accepted",
        "Connections accepted",
        MetricType::Counter,
        |counts| counts.accepted,
    ),
    (
        "connections_open",
        "Connections open now, including those that linger",
        MetricType::Gauge,
        |counts| counts.open,
    ),
    ("requests", "Requests", MetricType::Counter, |counts| {
        counts.requests
    }),
    (
        "requests_answered",
        "Requests whose replies the kernel took to their last byte",
        MetricType::Counter,
        |counts| counts.answered,
    ),
    (
        "requests_failed",
        "Requests that were not answered: the connection closed, or a handler panicked",
        MetricType::Counter,
        |counts| counts.failed,
    ),
    (
        "requests_in_flight",
        "Requests neither answered, nor refused, nor failed yet",
        MetricType::Gauge,
        |counts| counts.in_flight,
    ),
    (
        "read_bytes",
        "Bytes read from clients",
        MetricType::Counter,
        |counts| counts.bytes_in,
    ),
    (
        "written_bytes",
        "Bytes that the kernel took for clients",
        MetricType::Counter,
        |counts| counts.bytes_out,
    ),
    (
        "fetches",
        "Fetches that a proxy began",
        MetricType::Counter,
        |counts| counts.fetches.begun,
    ),
    (
        "fetches_under_way",
        "Fetches of a proxy under way now",
        MetricType::Gauge,
        |counts| counts.fetches.under_way,
    ),
];

/// Numbers by their reasons: the name and help, and the reasons in the counts.
type Reasons = (
    &'static str,
    &'static str,
    fn(&Counts) -> Vec<(&'static str, u64)>,
);

const REASONS: &[Reasons] = &[
    (
        "connections_closed",
        "Connections closed, by the reason",
        |counts| counts.closed.by_reason().to_vec(),
    ),
    (
        "requests_refused",
        "Requests refused, by the reason",
        |counts| counts.refused.by_reason().to_vec(),
    ),
    (
        "fetches_ended",
        "Fetches of a proxy that ended, by how",
        |counts| {
            let fetches = &counts.fetches;
            vec![
                ("cached", fetches.cached),
                ("failed", fetches.failed),
                ("cancelled", fetches.cancelled),
            ]
        },
    ),
];

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, help, kind, number) in NUMBERS {
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            for reading in readings.iter() {
                let (labels, number) = (labels(reading).to_vec(), number(&reading.counts));
                let mut one = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Gauge => one.encode_gauge(&number)?,
                    _ => one.encode_counter(&number, NONE)?,
                }
            }
        }
        for (name, help, numbers) in REASONS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for reading in readings.iter() {
                for (reason, number) in numbers(&reading.counts) {
                    let labels = [&labels(reading)[..], &[("reason", reason)]].concat();
                    metric
                        .encode_family(&labels)?
                        .encode_counter(&number, NONE)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the labels of a server.
fn labels(reading: &ServiceCounts) -> [(&str, &str); 4] {
    [
        ("service", &reading.service),
        ("address", &reading.address),
        ("role", &reading.role),
        ("model", &reading.model),
    ]
}

/// No exemplar.
const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
