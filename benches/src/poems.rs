//! Measures how long a client command takes to fetch many slow poems at once, relative to the time of one poem.
//!
//! The server is the library's own, of one thread on its own core, so that only the client differs. The client is a
//! command that gets the server's address once for each poem, and prints the poems in order; every byte of its output is
//! compared (MEASURING 13).

mod client;
mod server;

use std::io::{self, Read};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{UsageWho, getrusage};
use poetry::{Pace, Poem};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::pinning::Pinning;
use crate::process::with_affinity;
use crate::subject::{Subject, names};

pub use client::{fetch_bare, fetch_in_bare_threads};
pub use server::SlowServer;

/// An argument that is replaced by the server's address, repeated once for each poem.
pub const ADDRESSES: &str = "{addresses}";

/// The client commands, and how to measure them.
#[derive(Debug, Clone)]
pub struct Options {
    /// The commands, each with [`ADDRESSES`] among its arguments.
    pub subjects: Vec<Subject>,
    /// Poems fetched at once.
    pub poems: usize,
    /// The poem. It ends with a newline, so that the command prints nothing between two poems.
    pub poem: Poem,
    /// The pace of serving it.
    pub pace: Pace,
    /// Measurements of each subject.
    pub rounds: usize,
    /// The cores of the poem server and of the command.
    pub pinning: Pinning,
    /// The seed that shuffles the order of each round.
    pub seed: u64,
    /// The commit that was built, if known.
    pub commit: Option<String>,
}

impl Options {
    /// Fetches 10,000 poems of six chunks of 100 bytes, 200 ms apart, with each of `subjects`, three times.
    pub fn new(subjects: Vec<Subject>) -> Self {
        let mut text = crate::exchange::poem(599);
        text.push('\n');
        Self {
            subjects,
            poems: 10_000,
            poem: Poem::from(text.as_str()),
            pace: Pace::Slow {
                num_bytes: NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN),
                delay: Duration::from_millis(200),
            },
            rounds: 3,
            pinning: Pinning::apart(),
            seed: 1,
            commit: None,
        }
    }

    /// Returns the time it takes to serve one poem: the least time in which any number of them can be fetched.
    pub fn ideal(&self) -> Duration {
        self.pace.duration(self.poem.as_bytes().len())
    }
}

/// One subject in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The round, from 0.
    pub round: usize,
    /// The subject.
    pub subject: String,
    /// From the start of the command to its end, in seconds.
    pub seconds: Option<f64>,
    /// The same, divided by the ideal.
    pub to_ideal: Option<f64>,
    /// From the first connection to the end of the command, divided by the ideal: excludes the start of the process and
    /// the parsing of its arguments.
    pub fetching_to_ideal: Option<f64>,
    /// From the start of the command until the server had accepted all its connections, in seconds. The last poem ends
    /// at least the ideal after that.
    pub accepted_seconds: Option<f64>,
    /// Processor time of the command, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Why the row is void, if it is.
    pub void: Option<String>,
}

/// All rows, and the environment they were measured in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The environment.
    pub environment: Environment,
    /// Poems fetched at once.
    pub poems: usize,
    /// The ideal, in seconds.
    pub ideal_seconds: f64,
    /// The subjects, in the order they were given.
    pub subjects: Vec<String>,
    /// The rows, in the order of measuring.
    pub rows: Vec<Row>,
}

/// Measures all subjects, and calls `progress` with each row when it is complete.
///
/// # Errors
/// This process itself fails. A fault of a subject only voids its row.
pub fn run(options: &Options, progress: &mut dyn FnMut(&Row)) -> io::Result<Outcome> {
    let environment = Environment::now(options.commit.clone(), options.pinning, options.seed);
    let ideal = options.ideal().as_secs_f64();
    let mut order: Vec<&Subject> = options.subjects.iter().collect();
    let mut shuffle = fastrand::Rng::with_seed(options.seed);
    let mut rows = Vec::new();
    for round in 0..options.rounds {
        shuffle.shuffle(&mut order);
        for subject in &order {
            let result = measure(subject, options);
            let times = result.as_ref().ok();
            let row = Row {
                round,
                subject: subject.name.clone(),
                seconds: times.map(|times| times.elapsed.as_secs_f64()),
                to_ideal: times.map(|times| times.elapsed.as_secs_f64() / ideal),
                fetching_to_ideal: times.map(|times| times.fetching.as_secs_f64() / ideal),
                accepted_seconds: times.map(|times| times.accepted.as_secs_f64()),
                cpu_seconds: times.map(|times| times.cpu.as_secs_f64()),
                void: result.err(),
            };
            progress(&row);
            rows.push(row);
        }
    }
    Ok(Outcome {
        environment,
        poems: options.poems,
        ideal_seconds: ideal,
        subjects: names(&options.subjects),
        rows,
    })
}

/// The times of one command.
struct Times {
    elapsed: Duration,
    fetching: Duration,
    accepted: Duration,
    cpu: Duration,
}

/// Runs one command against a new server on a new port.
fn measure(subject: &Subject, options: &Options) -> Result<Times, String> {
    let text = |error: io::Error| error.to_string();
    let server = SlowServer::start(options.poem.clone(), options.pace, options.pinning.server)
        .map_err(text)?;
    let mut command = Command::new(&subject.program);
    command
        .args(arguments(subject, server.address(), options.poems))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let cpu = children_cpu();
    let start = Instant::now();
    let mut child = with_affinity(options.pinning.client, || command.spawn())
        .and_then(|child| child)
        .map_err(|error| format!("cannot start {}: {error}", subject.program.display()))?;
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
    compare(&printed, options)?;
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

fn arguments(subject: &Subject, server: SocketAddr, poems: usize) -> Vec<String> {
    let address = server.to_string();
    let mut arguments = Vec::new();
    for argument in &subject.args {
        match argument.as_str() {
            ADDRESSES => arguments.extend(std::iter::repeat_n(address.clone(), poems)),
            other => arguments.push(other.to_owned()),
        }
    }
    arguments
}

/// Checks that every poem was printed, byte for byte.
fn compare(printed: &[u8], options: &Options) -> Result<(), String> {
    let poem = options.poem.as_bytes();
    let (expected, found) = (poem.len() * options.poems, printed.len());
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
