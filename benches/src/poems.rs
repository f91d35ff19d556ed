//! How long a client command takes to fetch many slow poems at once, beside the ideal: the time one of them takes.
//!
//! The server is our own, of one thread on its own core, so that only the client differs. The client is a command
//! that is given the server's address once for every poem, and prints the poems one after another; every byte it
//! prints is compared.

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

/// An argument that the server's address takes the place of, once for every poem.
pub const ADDRESSES: &str = "{addresses}";

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The commands; one of the arguments of each is [`ADDRESSES`].
    pub subjects: Vec<Subject>,
    /// Poems fetched at once.
    pub poems: usize,
    /// The poem, which ends with a newline: between two poems the command then prints nothing.
    pub poem: Poem,
    /// The pace it is served at.
    pub pace: Pace,
    /// How often each subject is measured.
    pub rounds: usize,
    /// Where the two sides run: the poem server on the server's core, the command on the client's.
    pub pinning: Pinning,
    /// What the order of each round is shuffled with.
    pub seed: u64,
    /// The commit that was built, for the record.
    pub commit: Option<String>,
}

impl Options {
    /// 10,000 poems of six chunks of 100 bytes, 200 ms apart, fetched by each of `subjects`, three times.
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

    /// The time one poem takes to be served: nobody can fetch any number of them faster.
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
    /// That, to the ideal.
    pub to_ideal: Option<f64>,
    /// From the first connection to the end of the command, to the ideal: without the start of a process and the reading
    /// of its arguments.
    pub fetching_to_ideal: Option<f64>,
    /// From the start of the command until the server had accepted all its connections, in seconds: the last poem could
    /// not end earlier than the ideal after that.
    pub accepted_seconds: Option<f64>,
    /// Processor time of the command, in seconds.
    pub cpu_seconds: Option<f64>,
    /// What was wrong, if anything was.
    pub void: Option<String>,
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Where and when.
    pub environment: Environment,
    /// Poems fetched at once.
    pub poems: usize,
    /// The ideal, in seconds.
    pub ideal_seconds: f64,
    /// The subjects, in the order they were given.
    pub subjects: Vec<String>,
    /// What was measured, in the order it was.
    pub rows: Vec<Row>,
}

/// Measures, and tells every row to `progress` as soon as it is there.
///
/// # Errors
/// This process cannot do its part. What a subject does wrong voids its row.
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

/// What one command took.
struct Times {
    elapsed: Duration,
    fetching: Duration,
    accepted: Duration,
    cpu: Duration,
}

/// A server of its own, on a port of its own, serves the command.
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

/// What the pipe holds, if the system lets it: all that 10,000 poems are, so that a command need not wait for us to read.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 8 << 20;

#[cfg(target_os = "linux")]
fn widen(pipe: &ChildStdout) {
    // As it is, it works too.
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
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

/// Whether every poem was printed, byte for byte.
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

/// Processor time of all child processes that have ended.
fn children_cpu() -> Duration {
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        time(usage.user_time()) + time(usage.system_time())
    })
}
