//! The figures of a load as a JSON object, described in the help of `quatrain load`.

use std::time::Duration;

use measure::load::{Fairness, Gaps, Latency, Ledger, OpenLoop};
use serde::Serialize;

use crate::output;

use super::{Load, Loaded, Role};

/// Formats the figures as one line.
pub(super) fn render(load: &Load<'_>, loaded: &Loaded) -> String {
    output::json_line(&Object::new(load, loaded))
}

#[derive(Serialize)]
struct Object<'l> {
    role: &'static str,
    address: String,
    request: &'l str,
    #[serde(rename = "loop")]
    arrival: &'static str,
    connections: usize,
    depth: usize,
    one_shot: bool,
    interrupted: bool,
    seconds: f64,
    warm_up_seconds: f64,
    replies: u64,
    replies_per_second: Option<f64>,
    received_bytes: u64,
    left: u64,
    connect_errors: u64,
    first_reply_us: f64,
    latency_us: Latencies,
    mix_latency_us: Option<Latencies>,
    open_loop: Option<Open>,
    fairness: Option<Connections>,
    generator_core_share: Option<f64>,
    server: Option<Server>,
    ledger: Ledger,
}

/// Latencies in microseconds; null if there are none.
#[derive(Serialize)]
pub(super) struct Latencies {
    count: u64,
    min: Option<f64>,
    mean: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct Open {
    rate: f64,
    gaps: &'static str,
    due: u64,
    sent: u64,
    waiting: u64,
    lateness_us: Latencies,
}

#[derive(Serialize)]
struct Connections {
    fewest: u64,
    median: u64,
}

#[derive(Serialize)]
struct Server {
    cpu_us_per_reply: Option<f64>,
    threads: Option<u64>,
    peak_memory_bytes: Option<u64>,
}

impl<'l> Object<'l> {
    fn new(load: &'l Load<'_>, loaded: &Loaded) -> Self {
        let (report, plan) = (&loaded.report, &load.plan);
        let is_timed = !report.elapsed.is_zero();
        Self {
            role: match load.role {
                Role::Transform { .. } => "transform",
                Role::Library { .. } => "library",
                Role::Poem => "poem",
            },
            address: load.options.address.to_string(),
            request: &load.request,
            arrival: match report.open {
                Some(_) => "open",
                None => "closed",
            },
            connections: plan.connections,
            depth: plan.depth,
            one_shot: !plan.keep_alive,
            interrupted: report.stopped,
            seconds: report.elapsed.as_secs_f64(),
            warm_up_seconds: report.warm_up.as_secs_f64(),
            replies: report.answered,
            replies_per_second: is_timed.then(|| report.rate()),
            received_bytes: report.received,
            left: report.left,
            connect_errors: report.connect_errors,
            first_reply_us: micros(report.first_reply),
            latency_us: Latencies::of(&report.latency),
            mix_latency_us: report.other_latency.as_ref().map(Latencies::of),
            open_loop: report.open.as_ref().map(Open::of),
            fairness: report.fairness.map(Connections::of),
            generator_core_share: report.client_share(),
            server: loaded.server.as_ref().map(|server| Server {
                cpu_us_per_reply: server.cpu_per_reply(loaded).map(|cpu| cpu * 1e6),
                threads: server.end.threads,
                peak_memory_bytes: server.end.peak_memory,
            }),
            ledger: report.ledger,
        }
    }
}

impl Latencies {
    pub(super) fn of(latency: &Latency) -> Self {
        let some = |nanos: f64| (!latency.is_empty()).then_some(nanos / 1e3);
        let at = |quantile| some(latency.value_at_quantile(quantile) as f64);
        Self {
            count: latency.len(),
            min: some(latency.min() as f64),
            mean: some(latency.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: some(latency.max() as f64),
        }
    }
}

impl Open {
    fn of(open: &OpenLoop) -> Self {
        Self {
            rate: open.rate,
            gaps: match open.gaps {
                Gaps::Equal => "equal",
                Gaps::Exponential => "exponential",
            },
            due: open.due,
            sent: open.sent,
            waiting: open.waiting,
            lateness_us: Latencies::of(&open.lateness),
        }
    }
}

impl Connections {
    fn of(fairness: Fairness) -> Self {
        Self {
            fewest: fairness.fewest,
            median: fairness.median,
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
