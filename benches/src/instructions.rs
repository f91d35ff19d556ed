//! User-space instructions per request, by callgrind: the difference between two runs of fixed length, divided by
//! the difference in requests, so that the cost of starting, accepting and stopping cancels out (MEASURING 7).
//!
//! Other load on the machine changes the count only through the number of events per wait.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::load::{self, Extent, Plan};
use crate::process::{Launch, Process, ProcessError};

/// Requests in the shorter and in the longer run.
pub const REQUESTS: (u64, u64) = (2_000, 6_000);

/// The counts of both runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instructions {
    /// Requests in the shorter run, and all user-space instructions of the server in it.
    pub few: (u64, u64),
    /// The same of the longer run.
    pub many: (u64, u64),
}

impl Instructions {
    /// Instructions per request.
    pub fn per_request(&self) -> f64 {
        let requests = self.many.0 as f64 - self.few.0 as f64;
        (self.many.1 as f64 - self.few.1 as f64) / requests
    }
}

/// Counts the instructions of the server that `launch` starts in runs of `few` and `many` requests, sent according to `plan`, the
/// address and extent of which are ignored. `profile` is a file for temporary use.
///
/// # Errors
/// Valgrind is not installed, the server does not serve under it, or a reply was wrong. The text says which.
pub fn count(
    launch: &Launch,
    plan: &Plan,
    (few, many): (u64, u64),
    profile: &Path,
) -> Result<Instructions, String> {
    if few >= many {
        return Err("the first run must be the shorter".to_owned());
    }
    let launch = under_callgrind(launch.clone(), profile);
    let run = |requests| -> Result<(u64, u64), String> {
        serve(&launch, plan, requests)?;
        Ok((requests, total(profile)?))
    };
    Ok(Instructions {
        few: run(few)?,
        many: run(many)?,
    })
}

/// The timeout under valgrind, which slows a program down about fifty times.
const VALGRIND_TIMEOUT: Duration = Duration::from_secs(60);

fn under_callgrind(launch: Launch, profile: &Path) -> Launch {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(profile);
    let mut args: Vec<OsString> = vec!["-q".into(), "--tool=callgrind".into(), out];
    args.push(launch.program.into());
    args.extend(launch.args);
    Launch {
        program: "valgrind".into(),
        args,
        core: None,
        quiet: true,
        timeout: VALGRIND_TIMEOUT,
        ..launch
    }
}

fn serve(launch: &Launch, plan: &Plan, requests: u64) -> Result<(), String> {
    let explain = |error: ProcessError| error.to_string();
    let process = Process::start(launch).map_err(explain)?;
    let plan = Plan {
        address: process.address(),
        extent: Extent::Requests(requests),
        stall_timeout: VALGRIND_TIMEOUT,
        ..plan.clone()
    };
    let report = load::run(&plan).map_err(|error| error.to_string())?;
    let ending = process.stop().map_err(explain)?;
    match ending.counts {
        Some(counts) => report.ledger.check(&counts),
        None => Ok(()),
    }
}

/// Returns the sum of all instructions in a profile.
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
    use crate::scratch::Scratch;

    #[test]
    fn the_cost_common_to_both_runs_cancels_out() {
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
