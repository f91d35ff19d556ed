//! One subject in one round: started, loaded, sampled, stopped, and its counts compared with the ledger.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Options;
use crate::load::{self, Ledger, Mark, Plan, Report};
use crate::process::{Process, Usage, with_affinity};
use crate::scratch::Scratch;
use crate::subject::Subject;

/// One subject in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The round, from 0.
    pub round: usize,
    /// The subject.
    pub subject: String,
    /// Its figures, unless the row is void.
    pub figures: Option<Figures>,
    /// Why the row is void, if it is.
    pub void: Option<String>,
}

impl Row {
    pub(super) fn new(round: usize, subject: &str, result: Result<Figures, String>) -> Self {
        let (figures, void) = match result {
            Ok(figures) => (Some(figures), None),
            Err(void) => (None, Some(void)),
        };
        Self {
            round,
            subject: subject.to_owned(),
            figures,
            void,
        }
    }
}

/// The figures of the timed window; those that the system does not provide are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Replies in the window.
    pub answered: u64,
    /// The window's length, in seconds.
    pub seconds: f64,
    /// The length of the discarded warm-up, in seconds.
    pub warm_up_seconds: f64,
    /// From the first connect to the first whole reply, in microseconds.
    pub first_reply_us: f64,
    /// Replies per second.
    pub rate: f64,
    /// Processor time of the server per request, in microseconds, user and system.
    pub cpu_us: Option<f64>,
    /// The share of it in user space, from 0 to 1, from the kernel's ticks.
    pub user_share: Option<f64>,
    /// Processor time of the load generator per request, in microseconds.
    pub client_cpu_us: Option<f64>,
    /// The server's threads at the end of the window.
    pub threads: Option<u64>,
    /// The server's peak memory, in bytes.
    pub peak_memory: Option<u64>,
    /// The server's voluntary context switches per 1,000 requests: it waited.
    pub voluntary_switches: Option<f64>,
    /// Its involuntary context switches per 1,000 requests: it was preempted.
    pub involuntary_switches: Option<f64>,
    /// Connections that could not be made.
    pub connect_errors: u64,
    /// Whether the server's own counts were compared with the ledger, and agreed.
    pub counts_agree: bool,
    /// The client's ledger of the whole run.
    pub ledger: Ledger,
}

/// Measures `subject` once.
///
/// # Errors
/// Why the row is void.
pub(super) fn measure(
    subject: &Subject,
    options: &Options,
    scratch: &Scratch,
) -> Result<Figures, String> {
    let launch = subject.launch(options.pinning.server, &scratch.file("stats"));
    let process = Process::start(&launch).map_err(|error| error.to_string())?;
    let plan = Plan {
        address: process.address(),
        ..options.plan.clone()
    };
    let mut usage = (Usage::default(), Usage::default());
    let run = || {
        load::run_marked(&plan, &mut |mark| match mark {
            Mark::Begin { .. } => usage.0 = process.usage(),
            Mark::End { .. } => usage.1 = process.usage(),
        })
    };
    let report = with_affinity(options.pinning.client, run)
        .map_err(|error: io::Error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let ending = process.stop().map_err(|error| error.to_string())?;
    if let Some(counts) = &ending.counts {
        report.ledger.check(counts)?;
    }
    Ok(Figures {
        counts_agree: ending.counts.is_some(),
        ..figures(&report, &usage.0, &usage.1)
    })
}

fn figures(report: &Report, begin: &Usage, end: &Usage) -> Figures {
    let requests = report.answered as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let spent = |of: fn(&Usage) -> Option<Duration>| Some(of(end)?.saturating_sub(of(begin)?));
    let per_thousand = |of: fn(&Usage) -> Option<u64>| {
        Some(of(end)?.saturating_sub(of(begin)?) as f64 * 1_000.0 / requests)
    };
    let (user, system) = (spent(|usage| usage.user), spent(|usage| usage.system));
    let user_share = user.zip(system).and_then(|(user, system)| {
        let both = (user + system).as_secs_f64();
        (both > 0.0).then(|| user.as_secs_f64() / both)
    });
    Figures {
        answered: report.answered,
        seconds: report.elapsed.as_secs_f64(),
        warm_up_seconds: report.warm_up.as_secs_f64(),
        first_reply_us: micros(report.first_reply),
        rate: report.rate(),
        cpu_us: spent(|usage| usage.cpu).map(|cpu| micros(cpu) / requests),
        user_share,
        client_cpu_us: report.client_cpu.map(|cpu| micros(cpu) / requests),
        threads: end.threads,
        peak_memory: end.peak_memory,
        voluntary_switches: per_thousand(|usage| usage.voluntary_switches),
        involuntary_switches: per_thousand(|usage| usage.involuntary_switches),
        connect_errors: report.connect_errors,
        counts_agree: false,
        ledger: report.ledger,
    }
}
