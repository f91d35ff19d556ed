//! What `quatrain measure` does not measure yet, by the same library: memory per idle connection, instructions per
//! request, and many slow poems at once.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p quatrain-benches --example laboratory -- target/release/quatrain WHAT [ROUNDS [MODEL...]]
//! ```
//!
//! Beside the models' clients stand the library's bare ones, which this program plays when it is started as one of them.
//!
//! WHAT is `memory`, `instructions`, `instructions-pipelined`, `instructions-one-shot`, `poems` or `poems-unpinned`.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use measure::environment::Environment;
use measure::exchange::POEM_BYTES;
use measure::instructions::{self, Instructions};
use measure::{Exchange, Pinning, Plan, Subject, memory, poems, process, report};

/// What this program is called when it plays the bare client on epoll, or the one of threads.
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
            eprintln!("give the path of `quatrain` and what to measure");
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

/// Fetches all poems at once, and writes them.
type Fetch = fn(&[SocketAddr], &mut dyn Write) -> io::Result<()>;

/// The poems it fetched are all that this then prints.
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

fn measure(quatrain: &str, what: &str, rest: &[String]) -> Ended {
    process::raise_descriptor_limit()?;
    let (rounds, models) = match rest {
        [] => (3, models()),
        [rounds] => (rounds.parse()?, models()),
        [rounds, models @ ..] => (rounds.parse()?, models.to_vec()),
    };
    match what {
        "memory" => idle(quatrain, rounds, &models),
        "instructions" => counted(quatrain, &models, true, 1),
        "instructions-pipelined" => counted(quatrain, &models, true, 16),
        "instructions-one-shot" => counted(quatrain, &models, false, 1),
        "poems" => slow(quatrain, rounds, &models, Pinning::apart()),
        "poems-unpinned" => slow(quatrain, rounds, &models, Pinning::NONE),
        other => Err(format!("there is nothing called {other} to measure").into()),
    }
}

fn models() -> Vec<String> {
    let names = models::ALL.iter().map(|model| model.name().to_owned());
    names.collect()
}

/// The floor and the models, as the command starts them.
fn servers(quatrain: &str, models: &[String], keep_alive: bool) -> Vec<Subject> {
    let mode = keep_alive.then_some("--keep-alive");
    let floor = Subject::new("floor", quatrain, ["floor"].into_iter().chain(mode));
    let server = |model: &String| {
        let words = ["serve", "transform", "--model", model, "--stats", "{stats}"];
        Subject::new(model, quatrain, words.into_iter().chain(mode))
    };
    [floor]
        .into_iter()
        .chain(models.iter().map(server))
        .collect()
}

fn idle(quatrain: &str, rounds: usize, models: &[String]) -> Ended {
    let options = memory::Options {
        subjects: servers(quatrain, models, true),
        counts: memory::COUNTS.to_vec(),
        rounds,
        exchange: Exchange::cummingsify(POEM_BYTES)?,
        pinning: Pinning::apart(),
        seed: 1,
        commit: None,
    };
    let outcome = memory::run(&options, &mut |row| eprintln!("{row:?}"))?;
    Ok(report::memory(&outcome).to_string())
}

fn counted(quatrain: &str, models: &[String], keep_alive: bool, depth: usize) -> Ended {
    let plan = Plan {
        keep_alive,
        depth,
        ..Plan::new(([127, 0, 0, 1], 0).into())?
    };
    let options = instructions::Options::new(plan);
    let mut all: Vec<(String, Result<Instructions, String>)> = Vec::new();
    for subject in servers(quatrain, models, keep_alive) {
        let count = instructions::count(&subject, &options);
        eprintln!("{}: {count:?}", subject.name);
        all.push((subject.name, count));
    }
    let table = report::instructions(all.iter().map(|(name, count)| (name.as_str(), count)));
    let environment = Environment::now(None, Pinning::NONE, 0);
    Ok(format!("{table}\n{environment}"))
}

fn slow(quatrain: &str, rounds: usize, models: &[String], pinning: Pinning) -> Ended {
    let client = |model: &String| {
        let words = [
            "fetch",
            "--model",
            model,
            "--progress",
            "lines",
            poems::ADDRESSES,
        ];
        Subject::new(model, quatrain, words)
    };
    let this = std::env::current_exe()?;
    let bare = |(name, kind)| Subject::new(name, &this, [kind, poems::ADDRESSES]);
    // One of them twice: what differs between the two is noise.
    let bare_ones = [
        ("bare", BARE_CLIENT),
        ("bare again", BARE_CLIENT),
        ("bare threads", BARE_THREADS),
    ];
    let clients = bare_ones.map(bare).into_iter();
    let clients = clients.chain(models.iter().map(client));
    let options = poems::Options {
        rounds,
        pinning,
        ..poems::Options::new(clients.collect())
    };
    let outcome = poems::run(&options, &mut |row| eprintln!("{row:?}"))?;
    Ok(report::poems(&outcome).to_string())
}
