//! How long a client command takes to fetch many poems at once.
//!
//! The server is the library's own, of one thread on its own core, so that only the client differs. The client is a
//! command that gets the server's address once for each poem, and prints the poems in order; every byte of its output is
//! compared (MEASURING 13).

mod client;
mod server;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
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
/// `times` times. Its stderr is written to a new file `stderr` if one is given, and discarded otherwise.
///
/// # Errors
/// The command cannot be started, failed, or printed anything else; the text ends with the last line of `stderr`.
pub fn time(
    command: &(PathBuf, Vec<String>),
    server: &SlowServer,
    expected: (&[u8], usize),
    core: Option<usize>,
    stderr: Option<&Path>,
) -> Result<Times, String> {
    let stderr_to = match stderr.map(File::create).transpose() {
        Ok(file) => file.map_or_else(Stdio::null, Stdio::from),
        Err(error) => return Err(error.to_string()),
    };
    run(command, server, expected, core, stderr_to).map_err(|why| {
        let said = stderr.and_then(|file| last_line(file).ok().flatten());
        said.map_or(why.clone(), |said| format!("{why}: {said}"))
    })
}

/// Returns the last line of `file` that is not empty, or the end of it if it is very long.
fn last_line(file: &Path) -> io::Result<Option<String>> {
    const BYTES: u64 = 1 << 10;
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim).rev();
    Ok(lines.find(|line| !line.is_empty()).map(str::to_owned))
}

fn run(
    (program, arguments): &(PathBuf, Vec<String>),
    server: &SlowServer,
    (poem, times): (&[u8], usize),
    core: Option<usize>,
    stderr: Stdio,
) -> Result<Times, String> {
    let text = |error: io::Error| error.to_string();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr);
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
