//! The metrics that scenarios share, so that a name means the same in all of them.

use crate::results::{Better, Metric};

/// The same metric as a detail: tables have it if all columns are asked for.
pub(super) fn detail(metric: Metric) -> Metric {
    Metric {
        detail: true,
        ..metric
    }
}

/// A metric of which lower values are better.
pub(super) fn lower(name: &str, title: &str, unit: &str) -> Metric {
    Metric::new(name, title, unit, Better::Lower)
}

/// A metric of which higher values are better.
pub(super) fn higher(name: &str, title: &str, unit: &str) -> Metric {
    Metric::new(name, title, unit, Better::Higher)
}

/// A metric that describes.
pub(super) fn describing(name: &str, title: &str, unit: &str) -> Metric {
    Metric::new(name, title, unit, Better::Neither)
}

/// The metric that closed loops are about: with both sides saturated, requests per second compare nothing (MEASURING 2).
pub(super) fn cpu() -> Metric {
    lower("cpu_us", "CPU per request", "µs")
}

/// Replies per second.
pub(super) fn rate() -> Metric {
    higher("rate", "throughput", "requests/s")
}

/// The metric that open loops are about.
pub(super) fn p99() -> Metric {
    lower("p99", "latency, p99", "ns")
}

/// How evenly keep-alive connections were served.
pub(super) fn fairness() -> Metric {
    let title = "slowest connection's share of the median connection's replies";
    detail(higher("fairness", title, "%"))
}

/// The latencies of a load.
pub(super) fn latencies() -> Vec<Metric> {
    vec![
        lower("p50", "latency, p50", "ns"),
        detail(lower("p90", "latency, p90", "ns")),
        p99(),
        detail(lower("p999", "latency, p99.9", "ns")),
        detail(lower("max", "latency, highest", "ns")),
    ]
}

/// The latencies of a load besides [`p99`].
pub(super) fn other_latencies() -> Vec<Metric> {
    let mut latencies = latencies();
    latencies.retain(|metric| *metric != p99());
    latencies
}

/// What serving a load costs besides [`cpu`] (MEASURING 6, 7).
pub(super) fn costs() -> Vec<Metric> {
    vec![
        detail(describing("user_share", "CPU in user space", "%")),
        detail(lower("waits", "waits per 1,000 requests", "")),
        detail(lower("preemptions", "preemptions per 1,000 requests", "")),
        detail(describing("threads", "threads", "")),
        lower("peak_memory", "peak memory", "B"),
        detail(lower("first_reply", "first reply after", "ns")),
        detail(lower("connect_errors", "connections that failed", "")),
        detail(describing(
            "client_cpu_us",
            "load generator's CPU per request",
            "µs",
        )),
    ]
}
