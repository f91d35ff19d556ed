//! Measures what `quatrain measure` does not: memory per idle connection, instructions per request, many slow poems at
//! once, and two builds of quatrain against each other.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p quatrain-benches --example laboratory -- target/release/quatrain WHAT [ROUNDS [MODEL...]] [--against NAME=PATH]
//! ```
//!
//! WHAT is `memory`, `instructions`, `throughput` (the last two also with `-pipelined` or `-one-shot` behind), `poems` or
//! `poems-unpinned`. `--against` measures another build's servers and clients in the same rounds, as `MODEL@NAME`.
//!
//! `poems` also measures the library's bare clients, for which this program starts itself.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use measure::environment::Environment;
use measure::exchange::POEM_BYTES;
use measure::instructions::{self, Instructions};
use measure::runner::{self, ROUNDS_MIN};
use measure::{Exchange, Pinning, Plan, Subject, memory, poems, process, report, verify};

/// The first argument that makes this program the bare client on epoll, or the one with threads.
const BARE_CLIENT: &str = "bare-client";
const BARE_THREADS: &str = "bare-threads";

type Ended = Result<String, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ended = match &args[..] {
        [bare, addresses @ ..] if bare == BARE_CLIENT => fetch(poems::fetch_bare, addresses),
        [bare, addresses @ ..] if bare == BARE_THREADS => {
            fetch(poems::fetch_in_bare_threads, addresses)
        }
        [quatrain, what, rest @ ..] => measure(quatrain, what, rest).map(|table| table + "\n"),
        _ => {
            eprintln!("usage: laboratory QUATRAIN WHAT [ROUNDS [MODEL...]] [--against NAME=PATH]");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Fetches all poems at once and writes them.
type Fetch = fn(&[SocketAddr], &mut dyn Write) -> io::Result<()>;

/// Prints the fetched poems; returns no further text.
fn fetch(fetch: Fetch, addresses: &[String]) -> Ended {
    process::raise_descriptor_limit()?;
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| address.parse())
        .collect::<Result<_, _>>()?;
    let mut stdout = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    fetch(&addresses, &mut stdout)?;
    Ok(String::new())
}

/// Builds of quatrain, the servers and clients of which are measured together.
struct Builds {
    /// The build given first.
    quatrain: String,
    /// Another build, with its name.
    against: Option<(String, String)>,
    models: Vec<String>,
    rounds: usize,
}

impl Builds {
    fn parse(quatrain: &str, rest: &[String]) -> Result<Self, String> {
        let (rest, against) = match rest {
            [rest @ .., flag, other] if flag == "--against" => {
                let (name, path) = other
                    .split_once('=')
                    .ok_or_else(|| format!("--against {other}: expected NAME=PATH"))?;
                (rest, Some((name.to_owned(), path.to_owned())))
            }
            rest => (rest, None),
        };
        let rounds = match rest.first() {
            Some(rounds) => rounds
                .parse()
                .map_err(|error| format!("ROUNDS {rounds}: {error}"))?,
            None => ROUNDS_MIN,
        };
        if rounds < ROUNDS_MIN {
            return Err(format!(
                "ROUNDS {rounds}: at least {ROUNDS_MIN} show a spread"
            ));
        }
        let all = || models::ALL.iter().map(|model| model.name().to_owned());
        Ok(Self {
            quatrain: quatrain.to_owned(),
            against,
            models: match rest {
                [] | [_] => all().collect(),
                [_, models @ ..] => models.to_vec(),
            },
            rounds,
        })
    }

    /// Returns the subject `name`, started with `words`, of each build.
    fn each_build(&self, name: &str, words: &[&str]) -> Vec<Subject> {
        let subject = |name: String, program: &str| {
            let words = words.iter().copied();
            Subject::new(name, program, words)
        };
        let first = subject(name.to_owned(), &self.quatrain);
        let other = self
            .against
            .as_ref()
            .map(|(build, path)| subject(format!("{name}@{build}"), path));
        [first].into_iter().chain(other).collect()
    }

    /// Returns the floor and the models' servers, each of every build.
    fn servers(&self, keep_alive: bool) -> Vec<Subject> {
        let mode: &[&str] = if keep_alive { &["--keep-alive"] } else { &[] };
        let mut subjects = self.each_build("floor", &[&["floor"], mode].concat());
        for model in &self.models {
            let words = ["serve", "transform", "--model", model];
            let counts = ["--log", "error", "--stats", "{stats}"];
            subjects.extend(self.each_build(model, &[&words, &counts, mode].concat()));
        }
        subjects
    }

    fn clients(&self) -> Vec<Subject> {
        let client = |model: &String| {
            let words = ["fetch", "--model", model, "--progress", "lines"];
            self.each_build(model, &[&words[..], &[poems::ADDRESSES]].concat())
        };
        self.models.iter().flat_map(client).collect()
    }
}

/// How requests are sent.
#[derive(Clone, Copy)]
struct Mode {
    keep_alive: bool,
    depth: usize,
}

fn measure(quatrain: &str, what: &str, rest: &[String]) -> Ended {
    process::raise_descriptor_limit()?;
    let builds = Builds::parse(quatrain, rest)?;
    let (kind, mode) = match what.strip_suffix("-pipelined") {
        Some(kind) => (
            kind,
            Mode {
                keep_alive: true,
                depth: 16,
            },
        ),
        None => match what.strip_suffix("-one-shot") {
            Some(kind) => (
                kind,
                Mode {
                    keep_alive: false,
                    depth: 1,
                },
            ),
            None => (
                what,
                Mode {
                    keep_alive: true,
                    depth: 1,
                },
            ),
        },
    };
    match (kind, what) {
        (_, "memory") => idle(&builds),
        (_, "poems") => slow(&builds, Pinning::apart()),
        (_, "poems-unpinned") => slow(&builds, Pinning::NONE),
        ("instructions", _) => counted(&builds, mode),
        ("throughput", _) => timed(&builds, mode),
        _ => Err(
            format!("unknown WHAT {what}; try memory, instructions, throughput or poems").into(),
        ),
    }
}

fn idle(builds: &Builds) -> Ended {
    let options = memory::Options {
        subjects: builds.servers(true),
        counts: memory::COUNTS.to_vec(),
        rounds: builds.rounds,
        exchange: Exchange::cummingsify(POEM_BYTES)?,
        pinning: Pinning::apart(),
        seed: 1,
        commit: None,
    };
    let outcome = memory::run(&options, &mut |row| eprintln!("{row:?}"))?;
    Ok(report::memory(&outcome).to_string())
}

/// The runner sets each subject's address.
fn plan(mode: Mode) -> Result<Plan, measure::load::LoadError> {
    Ok(Plan {
        keep_alive: mode.keep_alive,
        depth: mode.depth,
        ..Plan::new(([127, 0, 0, 1], 0).into())?
    })
}

fn counted(builds: &Builds, mode: Mode) -> Ended {
    let options = instructions::Options::new(plan(mode)?);
    let mut all: Vec<(String, Result<Instructions, String>)> = Vec::new();
    for subject in builds.servers(mode.keep_alive) {
        let count = instructions::count(&subject, &options);
        eprintln!("{}: {count:?}", subject.name);
        all.push((subject.name, count));
    }
    let table = report::instructions(all.iter().map(|(name, count)| (name.as_str(), count)));
    let environment = Environment::now(None, Pinning::NONE, 0);
    Ok(format!("{table}\n{environment}"))
}

fn timed(builds: &Builds, mode: Mode) -> Ended {
    let mut subjects = builds.servers(mode.keep_alive);
    let floor = subjects.remove(0);
    // The first subject enters twice; a model says more about noise than a second floor would.
    let first_model = usize::from(builds.against.is_some());
    subjects.rotate_left(first_model);
    let options = runner::Options {
        subjects,
        floor,
        rounds: builds.rounds,
        plan: plan(mode)?,
        pinning: Pinning::apart(),
        seed: 1,
        commit: None,
    };
    let outcome = runner::run(
        &options,
        &mut |_, address| verify::transforms(address, mode.keep_alive),
        &mut |progress| eprintln!("{progress:?}"),
    )?;
    Ok(report::throughput(&outcome).to_string())
}

fn slow(builds: &Builds, pinning: Pinning) -> Ended {
    let this = std::env::current_exe()?;
    let bare = |(name, kind)| Subject::new(name, &this, [kind, poems::ADDRESSES]);
    // The bare client enters twice: the difference between the two is noise.
    let bare_clients = [
        ("bare", BARE_CLIENT),
        ("bare again", BARE_CLIENT),
        ("bare threads", BARE_THREADS),
    ];
    let clients = bare_clients.map(bare).into_iter().chain(builds.clients());
    let options = poems::Options {
        rounds: builds.rounds,
        pinning,
        ..poems::Options::new(clients.collect())
    };
    let outcome = poems::run(&options, &mut |row| eprintln!("{row:?}"))?;
    Ok(report::poems(&outcome).to_string())
}
