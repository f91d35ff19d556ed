//! The figures of a load as text: a sentence, a table of latencies, and notes on how they came about.

use std::time::Duration;

use measure::analysis::words::{number, thousands, value};
use measure::load::{Gaps, Latency};
use measure::report::Table;

use crate::table_layout;
use crate::words::counted;

use super::{Load, Loaded, Role, ServerCost};

/// The share of a core from which the generator counts as the limit.
const IS_THE_LIMIT: f64 = 0.9;
/// The generator's own lateness is worth a warning if it is more than this share of the latency, both at p99.
const LATE: f64 = 0.5;

/// The columns of latencies.
pub(super) const COLUMNS: [&str; 7] = ["request", "replies", "p50", "p90", "p99", "p99.9", "max"];

/// Formats the figures for stdout.
pub(super) fn render(load: &Load<'_>, loaded: &Loaded) -> String {
    let mut table = Table::new(&COLUMNS);
    let report = &loaded.report;
    table.rows.push(row(&load.request, &report.latency));
    if let (Some(name), Some(latency)) = (&load.other, &report.other_latency) {
        table.rows.push(row(name, latency));
    }
    let notes = [
        Some(how(load)),
        first(loaded),
        open_loop(loaded),
        fairness(loaded),
        loaded.server.as_ref().map(|server| cost(server, loaded)),
        generator(loaded),
        Some(in_all(load, loaded)),
    ];
    table.notes = notes.into_iter().flatten().collect();
    let table = table_layout::for_stdout(&table);
    format!("{}\n\n{table}", headline(load, loaded))
}

/// Returns the cells of latencies, for the columns above.
pub(super) fn row(name: &str, latency: &Latency) -> Vec<String> {
    let count = thousands(latency.len() as f64);
    let mut cells = vec![name.to_owned(), count];
    if latency.is_empty() {
        cells.push("none".to_owned());
        return cells;
    }
    let quantiles = [0.5, 0.9, 0.99, 0.999].map(|quantile| latency.value_at_quantile(quantile));
    let times = quantiles.into_iter().chain([latency.max()]);
    cells.extend(times.map(|nanos| value(nanos as f64, "ns")));
    cells
}

fn headline(load: &Load<'_>, loaded: &Loaded) -> String {
    let report = &loaded.report;
    let noun = match load.role {
        Role::Poem => "poem",
        Role::Transform { .. } | Role::Library { .. } => "reply",
    };
    let replies = counted(report.answered, noun);
    let elapsed = seconds(report.elapsed);
    let mut text = match report.elapsed.is_zero() {
        true => "interrupted during the warm-up".to_owned(),
        false => format!(
            "{} per second: {replies} in {elapsed}",
            number(report.rate())
        ),
    };
    if report.left > 0 {
        text += &format!(", and {} left midway", counted(report.left, "client"));
    }
    if !report.warm_up.is_zero() && !report.elapsed.is_zero() {
        text += &format!(", after {} of warm-up", seconds(report.warm_up));
    }
    if report.stopped && !report.elapsed.is_zero() {
        text += "; interrupted";
    }
    text
}

/// Describes the load and what its latencies are.
fn how(load: &Load<'_>) -> String {
    let plan = &load.plan;
    let connections = counted(plan.connections as u64, "connection");
    let kind = match (plan.keep_alive, plan.depth) {
        (false, _) => "one request each",
        (true, 1) => "keep-alive",
        (true, _) => "keep-alive and pipelined",
    };
    let end = match load.role {
        Role::Poem => "FIN",
        Role::Transform { .. } | Role::Library { .. } => "the last byte of the reply",
    };
    match (load.options.rate, plan.keep_alive) {
        (Some(_), _) => format!(
            "Open loop over at most {connections}, {kind}; a latency is from the moment when a request was due to {end}."
        ),
        (None, true) => format!(
            "Closed loop over {connections}, {kind}, {} in flight on each; a latency is from sending a request to {end}, both in the timed window.",
            plan.depth
        ),
        (None, false) => format!(
            "Closed loop over {connections}, {kind}; a latency is from connecting to {end}, both in the timed window."
        ),
    }
}

fn first(loaded: &Loaded) -> Option<String> {
    let report = &loaded.report;
    let failed = counted(report.connect_errors, "connection");
    let first = value(report.first_reply.as_nanos() as f64, "ns");
    (report.ledger.answered > 0).then(|| format!("First reply after {first}; {failed} failed."))
}

fn open_loop(loaded: &Loaded) -> Option<String> {
    let open = loaded.report.open.as_ref()?;
    let gaps = match open.gaps {
        Gaps::Equal => "equal",
        Gaps::Exponential => "exponential",
    };
    let late = match open.lateness.is_empty() {
        true => String::new(),
        false => {
            let at = |quantile| value(open.lateness.value_at_quantile(quantile) as f64, "ns");
            format!(
                " The generator itself sent late by {} at p50 and {} at p99, which the latencies include.",
                at(0.5),
                at(0.99)
            )
        }
    };
    Some(format!(
        "{} per second were due at {gaps} gaps: {} in the window, {} sent, {} still waiting at its end.{late}",
        number(open.rate),
        thousands(open.due as f64),
        thousands(open.sent as f64),
        thousands(open.waiting as f64),
    ))
}

fn fairness(loaded: &Loaded) -> Option<String> {
    let fairness = loaded.report.fairness?;
    let (fewest, median) = (fairness.fewest, counted(fairness.median, "reply"));
    (loaded.report.ledger.connections > 1)
        .then(|| format!("The median connection had {median}, the one with the fewest {fewest}."))
}

fn cost(server: &ServerCost, loaded: &Loaded) -> String {
    let mut parts = Vec::new();
    if let Some(cpu) = server.cpu_per_reply(loaded) {
        let share =
            server.cpu().unwrap_or_default().as_secs_f64() / loaded.report.elapsed.as_secs_f64();
        parts.push(format!(
            "{} of processor time per reply ({share:.2} of a core)",
            value(cpu * 1e9, "ns")
        ));
    }
    if let Some(threads) = server.end.threads {
        parts.push(counted(threads, "thread"));
    }
    if let Some(peak) = server.end.peak_memory {
        parts.push(format!("{} of memory at its peak", value(peak as f64, "B")));
    }
    match parts.is_empty() {
        true => {
            "The server's cost is not available: is --pid that of a process of yours?".to_owned()
        }
        false => format!("The server took {}.", parts.join(", ")),
    }
}

fn generator(loaded: &Loaded) -> Option<String> {
    let share = loaded.report.client_share()?;
    let took = format!("The generator took {share:.2} of a core");
    if share >= IS_THE_LIMIT {
        return Some(format!(
            "{took}: it may have been the limit, not the server."
        ));
    }
    let late = loaded.report.open.as_ref().is_some_and(|open| {
        let at_99 = |latency: &Latency| latency.value_at_quantile(0.99) as f64;
        at_99(&open.lateness) > LATE * at_99(&loaded.report.latency)
    });
    Some(match late {
        true => format!(
            "{took}. It was late itself: the machine is busy, or the generator needs a core of its own (--core)."
        ),
        false => format!("{took}."),
    })
}

fn in_all(load: &Load<'_>, loaded: &Loaded) -> String {
    let ledger = &loaded.report.ledger;
    let requests = match load.role {
        Role::Poem => String::new(),
        Role::Transform { .. } | Role::Library { .. } => {
            format!("{}, ", counted(ledger.requests, "request"))
        }
    };
    format!(
        "In all {}, {requests}{} verified, {} sent, {} received.",
        counted(ledger.connections, "connection"),
        counted(ledger.answered, "reply"),
        counted(ledger.bytes_out, "byte"),
        counted(ledger.bytes_in, "byte"),
    )
}

impl ServerCost {
    /// Returns the processor time that the window took.
    pub(super) fn cpu(&self) -> Option<Duration> {
        Some(self.end.cpu?.saturating_sub(self.begin.cpu?))
    }

    /// Returns the processor time per reply, in seconds.
    pub(super) fn cpu_per_reply(&self, loaded: &Loaded) -> Option<f64> {
        let cpu = self.cpu()?.as_secs_f64();
        (loaded.report.answered > 0).then(|| cpu / loaded.report.answered as f64)
    }
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
