//! Starts an example: parses its arguments, prints its result, and sets the exit status to 0, to 1 if it failed, or to 2
//! if the arguments are wrong.
// Each example uses a part of it.
#![allow(dead_code)]

pub(crate) mod socket;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Pace, Peer, PoemService, RunningServer, Server, serve_poem};

/// Runs an example with the arguments of this process.
pub(crate) fn start<T>(
    usage: &str,
    parse: fn(&[String]) -> Result<T, String>,
    run: fn(T) -> io::Result<String>,
) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (status, text) = outcome(&args, parse, run);
    match status {
        0 => println!("{text}"),
        2 => eprintln!("{text}\nusage: {usage}"),
        _ => eprintln!("{text}"),
    }
    ExitCode::from(status)
}

/// Returns the exit status and what is printed.
pub(crate) fn outcome<T>(
    args: &[String],
    parse: fn(&[String]) -> Result<T, String>,
    run: fn(T) -> io::Result<String>,
) -> (u8, String) {
    match parse(args).map(run) {
        Ok(Ok(text)) => (0, text),
        Ok(Err(error)) => (1, error.to_string()),
        Err(message) => (2, message),
    }
}

/// Accepts no argument.
pub(crate) fn no_arguments(args: &[String]) -> Result<(), String> {
    match args {
        [] => Ok(()),
        [first, ..] => Err(format!("unexpected argument '{first}'")),
    }
}

/// Accepts any number of addresses, `[host:]port`.
pub(crate) fn addresses(args: &[String]) -> Result<Vec<Peer>, String> {
    args.iter().map(|arg| arg.parse()).collect()
}

/// Returns the peers; or, if there are none, two poem servers that it starts, and an address between them that refuses
/// connections.
pub(crate) fn poem_servers(mut peers: Vec<Peer>) -> io::Result<(Vec<Peer>, Vec<RunningServer>)> {
    let mut servers = Vec::new();
    if peers.is_empty() {
        let listener = || TcpListener::bind("127.0.0.1:0");
        for poem in ["The lamp is out,", "the harbour is not."] {
            let (poem, pace) = (poem.into(), Pace::Fast);
            servers.push(serve_poem(listener()?, PoemService { poem, pace })?);
        }
        peers.extend(servers.iter().map(|server| server.address().into()));
        peers.insert(1, listener()?.local_addr()?.into());
    }
    Ok((peers, servers))
}

/// Waits for the poems of all tasks, and returns them in the order of the tasks.
pub(crate) fn in_order(finished: mpsc::Receiver<(usize, String)>) -> String {
    let poems: BTreeMap<usize, String> = finished.into_iter().collect();
    let lines = poems.iter().map(|(task, poem)| format!("{task}: {poem}"));
    lines.collect::<Vec<_>>().join("\n")
}
