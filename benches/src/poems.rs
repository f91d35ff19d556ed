//! How long a client command takes to fetch many poems at once.
//!
//! The server is the library's own, of one thread on its own core, so that only the client differs. The client is a
//! command that gets the server's address once for each poem, and prints the poems in order; every byte of its output is
//! compared (MEASURING 13).

mod client;
mod server;

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{UsageWho, getrusage};

use crate::process::with_affinity;

pub use client::{BareVia, fetch_bare, fetch_in_bare_threads};
pub use server::SlowServer;
pub(crate) use server::listen;

/// The times of one command that fetched poems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From the start of the command to its end.
    pub elapsed: Duration,
    /// From the first connection to the end of the command: without the start of the process and the parsing of its arguments.
    pub fetching: Duration,
    /// From the start of the command until the server had accepted its last connection. That poem was still to be served.
    pub accepted: Duration,
    /// Processor time of the command.
    pub cpu: Duration,
}

/// Runs `program` with `arguments` on `core`, with the poems of `server`, which no one else fetches. It must print `poem`
/// `times` times.
///
/// # Errors
/// The command cannot be started, failed, or printed anything else.
pub fn time(
    (program, arguments): &(PathBuf, Vec<String>),
    server: &SlowServer,
    (poem, times): (&[u8], usize),
    core: Option<usize>,
) -> Result<Times, String> {
    let text = |error: io::Error| error.to_string();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let cpu = children_cpu();
    let start = Instant::now();
    let mut child = with_affinity(core, || command.spawn())
        .and_then(|child| child)
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let mut printed = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        widen(&stdout);
        stdout.read_to_end(&mut printed).map_err(text)?;
    }
    let status = child.wait().map_err(text)?;
    let end = Instant::now();
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    compare(&printed, poem, times)?;
    let (first, last) = server.accepted();
    Ok(Times {
        elapsed: end.saturating_duration_since(start),
        fetching: end.saturating_duration_since(first),
        accepted: last.saturating_duration_since(start),
        cpu: children_cpu().saturating_sub(cpu),
    })
}

/// The pipe's capacity, if the system grants it: 10,000 poems fit, so the command never waits for this process to read.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 8 << 20;

#[cfg(target_os = "linux")]
fn widen(pipe: &ChildStdout) {
    // A smaller pipe works too.
    let _refused = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &ChildStdout) {}

/// Checks that `poem` was printed `times` times, and nothing else.
fn compare(printed: &[u8], poem: &[u8], times: usize) -> Result<(), String> {
    let (expected, found) = (poem.len() * times, printed.len());
    if found != expected {
        return Err(format!(
            "it printed {found} bytes, not the {expected} of the poems"
        ));
    }
    match printed.chunks(poem.len()).position(|chunk| chunk != poem) {
        Some(wrong) => Err(format!("poem {wrong} is wrong")),
        None => Ok(()),
    }
}

/// Returns the processor time of all child processes that have ended.
fn children_cpu() -> Duration {
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        time(usage.user_time()) + time(usage.system_time())
    })
}
