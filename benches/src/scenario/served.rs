//! A subject as a server under a load: started, loaded, sampled, stopped, and its counts compared with the client's ledger.

use std::time::{Duration, Instant};

use poetry::Counts;

use super::{Reading, Setting};
use crate::load::{self, Latency, Ledger, Mark, Plan, Report};
use crate::process::{Launch, Process, Usage, with_affinity};
use crate::subject::{Mode, Role, Start, Subject};

/// Starting, connecting and stopping beside what is timed, in seconds; measured.
pub(super) const AROUND_SECONDS: f64 = 0.15;

/// A server under a load: what both sides report.
#[derive(Debug)]
pub(super) struct Served {
    /// The client's report.
    pub(super) report: Report,
    /// The server's cost at both ends of the timed window.
    pub(super) usage: (Usage, Usage),
    /// The end of the timed window.
    pub(super) ended: Instant,
    /// The server's counts of all that it did, warm-up included, if it writes them.
    pub(super) counts: Option<Counts>,
}

/// Returns how to start `subject` as a server, with the setting's number of threads.
pub(super) fn launch(subject: &Subject, mode: &Mode, setting: &Setting) -> Result<Launch, String> {
    let stats = setting.file("stats");
    let start = Start {
        core: setting.pinning.server,
        threads: setting.threads,
        stats: Some(&stats),
    };
    subject.launch(mode, &start)
}

/// Starts `subject` as a server.
pub(super) fn start(subject: &Subject, mode: &Mode, setting: &Setting) -> Result<Process, String> {
    let launch = launch(subject, mode, setting)?;
    Process::start(&launch).map_err(|error| error.to_string())
}

/// Starts `subject`, carries out `plan` (whose address is ignored), and stops it.
///
/// # Errors
/// Why the row is void.
pub(super) fn load(
    subject: &Subject,
    mode: &Mode,
    plan: Plan,
    setting: &Setting,
) -> Result<Served, String> {
    let process = start(subject, mode, setting)?;
    let served = carry_out(&process, plan, setting)?;
    let counts = stop(process, mode, &served.report.ledger)?;
    Ok(Served { counts, ..served })
}

/// As [`load`], but with two loads one after another on one process; the second follows from the rate of the first, and is the one
/// that is reported.
pub(super) fn load_twice(
    subject: &Subject,
    mode: &Mode,
    first: Plan,
    second: impl FnOnce(f64) -> Plan,
    setting: &Setting,
) -> Result<Served, String> {
    let process = start(subject, mode, setting)?;
    let before = carry_out(&process, first, setting)?.report;
    let served = carry_out(&process, second(before.rate()), setting)?;
    let mut ledger = before.ledger;
    ledger += served.report.ledger;
    let counts = stop(process, mode, &ledger)?;
    Ok(Served { counts, ..served })
}

fn carry_out(process: &Process, plan: Plan, setting: &Setting) -> Result<Served, String> {
    let plan = Plan {
        address: process.address(),
        ..plan
    };
    let mut usage = (Usage::default(), Usage::default());
    let mut ended = Instant::now();
    let run = || {
        load::run_marked(&plan, &mut |mark| match mark {
            Mark::Begin { .. } => usage.0 = process.usage(),
            Mark::End { .. } => {
                ended = Instant::now();
                usage.1 = process.usage();
            }
        })
    };
    let report = with_affinity(setting.pinning.client, run)
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    Ok(Served {
        report,
        usage,
        ended,
        counts: None,
    })
}

/// Stops the server, compares its counts with the client's, and returns them.
pub(super) fn stop(
    process: Process,
    mode: &Mode,
    ledger: &Ledger,
) -> Result<Option<Counts>, String> {
    let ending = process.stop().map_err(|error| error.to_string())?;
    if let Some(counts) = &ending.counts {
        match mode.role() {
            Role::Transform | Role::Library => ledger.check(counts)?,
            Role::Poem | Role::Proxy => check_poems(ledger, counts)?,
        }
    }
    Ok(ending.counts)
}

/// Checks the connections of a server without requests.
fn check_poems(ledger: &Ledger, counts: &Counts) -> Result<(), String> {
    counts.check()?;
    match (ledger.connections, counts.accepted) {
        (client, server) if client == server => Ok(()),
        (client, server) => Err(format!(
            "connections: the client has {client}, the server {server}"
        )),
    }
}

impl Served {
    /// Returns the rate, the costs and the latencies as values of the metrics of their names.
    pub(super) fn reading(self) -> Reading {
        let mut reading = Reading::default();
        self.add_costs(&mut reading);
        add_latencies(&self.report.latency, &mut reading);
        reading.histogram = Some(self.report.latency);
        reading
    }

    fn add_costs(&self, reading: &mut Reading) {
        let (begin, end) = &self.usage;
        let requests = self.report.answered as f64;
        let spent = |of: fn(&Usage) -> Option<Duration>| Some(of(end)?.saturating_sub(of(begin)?));
        let per_thousand = |of: fn(&Usage) -> Option<u64>| {
            Some(of(end)?.saturating_sub(of(begin)?) as f64 * 1_000.0 / requests)
        };
        let user = spent(|usage| usage.user).zip(spent(|usage| usage.system));
        let share =
            user.map(|(user, system)| user.as_secs_f64() * 100.0 / (user + system).as_secs_f64());
        let cpu = spent(|usage| usage.cpu).map(|cpu| micros(cpu) / requests);
        let client = self.report.client_cpu;
        for (name, value) in [
            ("cpu_us", cpu),
            ("rate", Some(self.report.rate())),
            ("user_share", share),
            ("waits", per_thousand(|usage| usage.voluntary_switches)),
            (
                "preemptions",
                per_thousand(|usage| usage.involuntary_switches),
            ),
            ("threads", end.threads.map(|threads| threads as f64)),
            ("peak_memory", end.peak_memory.map(|bytes| bytes as f64)),
            (
                "first_reply",
                Some(self.report.first_reply.as_nanos() as f64),
            ),
            ("connect_errors", Some(self.report.connect_errors as f64)),
            ("client_cpu_us", client.map(|cpu| micros(cpu) / requests)),
        ] {
            reading.add(name, value);
        }
    }
}

/// Adds the percentiles of `latency`, if it has any.
fn add_latencies(latency: &Latency, reading: &mut Reading) {
    if latency.is_empty() {
        return;
    }
    let percentiles = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)];
    for (name, percentile) in percentiles {
        reading.add(name, Some(latency.value_at_percentile(percentile) as f64));
    }
    reading.add("max", Some(latency.max() as f64));
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
