//! Loads a model's keep-alive transform server for a moment, verifies every reply, and measures the cost to the server.
//! `rounds.rs` does this several times.

use std::time::Duration;

use measure::load::{self, Extent, Mark};
use measure::process::{Process, with_affinity};
use measure::{Pinning, Plan, verify};
use poetry::Model;

use crate::words::counted;

use super::{Flaw, Setup, client_ledger, stop};

pub(super) const CONNECTIONS: usize = 64;
/// Enough for every connection to have had its first replies thousands of times.
pub(super) const WARM_UP: Duration = Duration::from_millis(200);
/// Some hundred thousand requests. More rounds say more than longer ones: between them the machine changes.
pub(super) const TIMED: Duration = Duration::from_millis(400);

/// The result of the load. A figure that the system does not provide is `None`.
pub(super) struct Loaded {
    pub(super) requests_per_second: f64,
    /// Processor time of the server for each request in the timed window.
    pub(super) cpu_per_request: Option<Duration>,
    /// Threads of the server while it serves all connections.
    pub(super) threads: Option<u64>,
    /// Memory of the server, in bytes.
    pub(super) peak_memory: Option<u64>,
    /// Verified replies, including those of the warm-up.
    pub(super) verified: u64,
}

/// Verifies the replies of a transform server of `model` by a script of requests, before any is timed.
pub(super) fn verify(setup: &Setup, model: &dyn Model) -> Result<(), Flaw> {
    let script = setup.serve(model, ["transform", "--keep-alive"], None)?;
    verify::transforms(script.address(), true)?;
    stop(script, "the transform server").and_then(|counts| counts.check())
}

/// Loads a new transform server of `model`.
pub(super) fn load(setup: &Setup, model: &dyn Model) -> Result<Loaded, Flaw> {
    let pinning = Pinning::apart();
    let server = setup.serve(model, ["transform", "--keep-alive"], pinning.server)?;
    let plan = Plan {
        connections: CONNECTIONS,
        extent: Extent::For {
            warm_up: WARM_UP,
            timed: TIMED,
        },
        ..Plan::new(server.address()).map_err(|error| error.to_string())?
    };
    let mut costs = Costs::of(&server);
    let run = || load::run_marked(&plan, &mut |mark| costs.note(mark));
    let report = with_affinity(pinning.client, run)
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("under load: {error}"))?;
    let loaded = Loaded {
        requests_per_second: report.rate(),
        cpu_per_request: costs.per_request(),
        threads: costs.threads,
        peak_memory: costs.peak_memory,
        verified: report.ledger.answered,
    };
    if report.connect_errors > 0 {
        return Err(format!(
            "under load: {} failed",
            counted(report.connect_errors, "connection")
        ));
    }
    let counts = stop(server, "the transform server")?;
    client_ledger::compare(&report.ledger, &counts)
        .map_err(|flaw| format!("the ledger of the load: {flaw}"))?;
    Ok(loaded)
}

/// The server's processor time and replies at both ends of the timed window.
struct Costs<'a> {
    server: &'a Process,
    start: Option<(Duration, u64)>,
    end: Option<(Duration, u64)>,
    threads: Option<u64>,
    peak_memory: Option<u64>,
}

impl<'a> Costs<'a> {
    fn of(server: &'a Process) -> Self {
        Self {
            server,
            start: None,
            end: None,
            threads: None,
            peak_memory: None,
        }
    }

    fn note(&mut self, mark: Mark) {
        let cpu = self.server.cpu();
        match mark {
            Mark::Begin { answered } => self.start = cpu.map(|cpu| (cpu, answered)),
            Mark::End { answered } => {
                self.end = cpu.map(|cpu| (cpu, answered));
                let usage = self.server.usage();
                (self.threads, self.peak_memory) = (usage.threads, usage.peak_memory);
            }
        }
    }

    fn per_request(&self) -> Option<Duration> {
        let ((cpu, answered), (cpu_then, answered_then)) = (self.end?, self.start?);
        let requests = u32::try_from(answered - answered_then).ok()?;
        (cpu - cpu_then).checked_div(requests)
    }
}
