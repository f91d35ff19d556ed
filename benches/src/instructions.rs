//! User-space instructions per request, by callgrind: the difference between two runs of fixed length, divided by
//! the difference in requests, so that starting, accepting and ending cancel out (MEASURING 7).
//!
//! The count does not depend on the machine's other work, except through how many events each wait brings.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::{self, Extent, Plan};
use crate::process::{Launch, Process, ProcessError};
use crate::scratch::Scratch;
use crate::subject::Subject;

/// What is counted, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests in the shorter run.
    pub few: u64,
    /// Requests in the longer run.
    pub many: u64,
    /// How requests are sent; its address and extent are of no account.
    pub plan: Plan,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Instructions {
    /// Requests in the shorter run, and all user-space instructions of the server in it.
    pub few: (u64, u64),
    /// The same of the longer run.
    pub many: (u64, u64),
}

impl Options {
    /// 2,000 and 6,000 requests, sent as `plan` says.
    pub fn new(plan: Plan) -> Self {
        Self {
            few: 2_000,
            many: 6_000,
            plan,
        }
    }
}

impl Instructions {
    /// Instructions per request.
    pub fn per_request(&self) -> f64 {
        let requests = self.many.0 as f64 - self.few.0 as f64;
        (self.many.1 as f64 - self.few.1 as f64) / requests
    }
}

/// Counts the instructions of `subject`.
///
/// # Errors
/// In words: valgrind is not installed, the subject does not serve under it, or a reply was wrong.
pub fn count(subject: &Subject, options: &Options) -> Result<Instructions, String> {
    if options.few >= options.many {
        return Err("the longer run must be the longer one".to_owned());
    }
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let run = |requests| -> Result<(u64, u64), String> {
        let profile = scratch.file("callgrind");
        let launch = under_callgrind(subject.launch(None, &scratch.file("stats")), &profile);
        serve(&launch, &options.plan, requests)?;
        Ok((requests, total(&profile)?))
    };
    Ok(Instructions {
        few: run(options.few)?,
        many: run(options.many)?,
    })
}

/// A program under valgrind runs some fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

fn under_callgrind(launch: Launch, profile: &Path) -> Launch {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(profile);
    let mut args: Vec<OsString> = vec!["-q".into(), "--tool=callgrind".into(), out];
    args.push(launch.program.into());
    args.extend(launch.args);
    Launch {
        program: "valgrind".into(),
        args,
        quiet: true,
        patience: PATIENCE,
        ..launch
    }
}

fn serve(launch: &Launch, plan: &Plan, requests: u64) -> Result<(), String> {
    let explain = |error: ProcessError| error.to_string();
    let process = Process::start(launch).map_err(explain)?;
    let plan = Plan {
        address: process.address(),
        extent: Extent::Requests(requests),
        stall_timeout: PATIENCE,
        ..plan.clone()
    };
    let report = load::run(&plan).map_err(|error| error.to_string())?;
    let ending = process.stop().map_err(explain)?;
    match ending.counts {
        Some(counts) => report.ledger.check(&counts),
        None => Ok(()),
    }
}

/// The sum of all instructions in a profile.
fn total(profile: &Path) -> Result<u64, String> {
    let text =
        fs::read_to_string(profile).map_err(|error| format!("callgrind's profile: {error}"))?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix("totals:")
                .or(line.strip_prefix("summary:"))
        })
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| "callgrind's profile has no total".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_runs_have_cancels_out() {
        let instructions = Instructions {
            few: (1_000, 5_000_000),
            many: (3_000, 7_000_000),
        };
        assert_eq!(instructions.per_request(), 1_000.0);
    }

    #[test]
    fn the_total_is_found_in_a_profile() {
        let scratch = Scratch::new().unwrap();
        let profile = scratch.file("profile");
        fs::write(
            &profile,
            "version: 1\nevents: Ir\n\nfn=x\n1 5\n\ntotals: 12345\n",
        )
        .unwrap();
        assert_eq!(total(&profile), Ok(12_345));
        fs::write(&profile, "").unwrap();
        assert!(total(&profile).is_err());
    }
}
