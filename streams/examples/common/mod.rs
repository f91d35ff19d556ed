//! Shared by the steps: their arguments, the servers that a step starts without arguments, and their exit status.
#![allow(dead_code)] // Each step uses a part of it.

pub(crate) mod codec;

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use poetry::{Pace, Peer, PoemService, TransformService};
use streams::{RunningServer, serve_poem, serve_transforms};

const POEMS: [&str; 2] = [
    "The First Poem\nis read\nline by line.\n",
    "The Second Poem\nwaits its turn,\nor does not.\n",
];

/// How a step ends.
pub(crate) type Ended = Result<(), Box<dyn Error>>;

/// Runs a step that reads one poem.
pub(crate) fn with_a_poem(show: impl AsyncFnOnce(Peer) -> Ended) -> ExitCode {
    run("[[HOST:]PORT]", 1..=1, 1, false, async |mut peers| {
        show(peers.remove(0)).await
    })
}

/// Runs a step that reads poems.
pub(crate) fn with_poems(show: impl AsyncFnOnce(Vec<Peer>) -> Ended) -> ExitCode {
    run("[[HOST:]PORT]...", 1..=usize::MAX, 2, false, show)
}

/// Runs a step that reads poems and has them transformed by the last peer.
pub(crate) fn with_poems_and_transforms(
    show: impl AsyncFnOnce(Vec<Peer>, Peer) -> Ended,
) -> ExitCode {
    let usage = "[[HOST:]POEM-PORT... [HOST:]TRANSFORM-PORT]";
    run(usage, 2..=usize::MAX, 2, true, async |mut peers| {
        let via = peers.pop().ok_or("a transform server is missing")?;
        show(peers, via).await
    })
}

/// Runs `show` with the peers on the command line or, without arguments, with servers that it starts. The exit status is
/// 0, 1 if the step failed, or 2 if the arguments are wrong.
fn run(
    usage: &str,
    count: RangeInclusive<usize>,
    poems: usize,
    transforms: bool,
    show: impl AsyncFnOnce(Vec<Peer>) -> Ended,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let peers: Result<Vec<Peer>, String> = arguments
        .iter()
        .map(|argument| {
            argument
                .parse()
                .map_err(|error| format!("'{argument}': {error}"))
        })
        .collect();
    let peers = match peers {
        Ok(peers) if peers.is_empty() || count.contains(&peers.len()) => peers,
        Ok(peers) => return wrong(usage, &format!("addresses given: {}", peers.len())),
        Err(error) => return wrong(usage, &error),
    };
    finish(block_on(async {
        if peers.is_empty() {
            let servers = start(poems, transforms)?;
            show(
                servers
                    .iter()
                    .map(|server| server.address().into())
                    .collect(),
            )
            .await
        } else {
            show(peers).await
        }
    }))
}

/// Reports wrong arguments.
pub(crate) fn wrong(usage: &str, problem: &str) -> ExitCode {
    eprintln!("error: {problem}\nusage: {usage}");
    ExitCode::from(2)
}

/// Turns the end of a step into its exit status.
pub(crate) fn finish(ended: Ended) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `step` on a tokio runtime.
pub(crate) fn block_on(step: impl Future<Output = Ended>) -> Ended {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(step)
}

/// Starts servers of poems and, as the last, one of transforms.
fn start(poems: usize, transforms: bool) -> io::Result<Vec<RunningServer>> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let mut servers = Vec::new();
    for poem in &POEMS[..poems] {
        let service = PoemService {
            poem: (*poem).into(),
            pace: Pace::Fast,
        };
        servers.push(serve_poem(listen()?, service)?);
    }
    if transforms {
        servers.push(serve_transforms(listen()?, TransformService::default())?);
    }
    Ok(servers)
}
