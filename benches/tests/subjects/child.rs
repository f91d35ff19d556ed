//! The roles of this program as a child process: small servers and clients, most of which misbehave in one way.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use measure::Subject;
use measure::floor::Floor;
use measure::poems::{BareVia, fetch_bare};
use measure::process::Launch;
use nix::sys::signal::{SigSet, Signal};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::{Decoder, Frames};
use poetry::{CloseReason, Counters, Counts, TransformService};

/// The first argument of a child.
pub(crate) const MARK: &str = "as-a-child";

/// Returns how to start this program in a role.
pub(crate) fn launch(role: &[&str]) -> Launch {
    let program = std::env::current_exe().unwrap();
    Launch::new(program, [MARK].iter().chain(role).copied())
}

/// Returns this program in a role, as a subject; words may be placeholders.
pub(crate) fn subject(name: &str, role: &str) -> Subject {
    Subject::external(name, &format!("{{quatrain}} {MARK} {role}")).unwrap()
}

/// Plays a role.
pub(crate) fn main(role: &[&str]) {
    match role {
        ["floor", mode @ ..] => floor(listen("floor"), keeps_alive(mode)),
        ["on-port", port, mode @ ..] => on_port(port, keeps_alive(mode)),
        ["counting", mode @ .., "--stats", stats] => counting(stats, keeps_alive(mode), 0),
        ["counting-wrongly", mode @ .., "--stats", stats] => counting(stats, keeps_alive(mode), 1),
        ["one-shot", ..] => floor(listen("floor"), false),
        ["fetches-for-each", "proxy", upstream, ..] => proxy(upstream),
        ["ends"] => std::process::exit(3),
        ["prints-another-line"] => println!("Hello on this fine day"),
        ["is-silent"] => wait_for_sigterm(),
        ["ignores-sigterm"] => ignore_sigterm(),
        ["fetches", addresses @ ..] => fetch(addresses, |poem| poem),
        ["fetches-behind-options", _, _, _, _, _, addresses @ ..] => fetch(addresses, |poem| poem),
        ["shouts", addresses @ ..] => fetch(addresses, |poem| poem.to_uppercase()),
        ["transforms", options @ ..] => transform(options),
        ["is-mute", ..] => {}
        ["fails", ..] => {
            eprintln!("a warning\nthe reason\n");
            std::process::exit(1)
        }
        role => panic!("no such role: {role:?}"),
    }
}

fn listen(with: &str) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    println!("Serving transforms on {address} with {with}");
    listener
}

fn keeps_alive(mode: &[&str]) -> bool {
    mode.contains(&"--keep-alive")
}

fn floor(listener: TcpListener, keep_alive: bool) {
    let floor = Floor::new(listener, keep_alive).unwrap();
    match floor.run() {
        Ok(never) => match never {},
        Err(error) => panic!("{error}"),
    }
}

/// Serves on a given port, and prints another line than servers do.
fn on_port(port: &str, keep_alive: bool) {
    println!("Hello from a server in another language");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    floor(listener, keep_alive);
}

/// Serves, and ignores SIGTERM.
fn ignore_sigterm() {
    sigterm().thread_block().unwrap();
    let _listener = listen("nothing");
    loop {
        thread::park();
    }
}

fn sigterm() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals
}

fn wait_for_sigterm() {
    sigterm().thread_block().unwrap();
    sigterm().wait().unwrap();
}

/// Serves the poem of `upstream`, which it fetches again for each client.
fn proxy(upstream: &str) {
    for mut client in listen("threads").incoming().flatten() {
        let mut upstream = TcpStream::connect(upstream).unwrap();
        thread::spawn(move || std::io::copy(&mut upstream, &mut client));
    }
}

/// Serves with a thread per connection, and writes its counts to the file `stats`, with `extra` invented replies.
fn counting(stats: &str, keep_alive: bool, extra: u64) {
    sigterm().thread_block().unwrap();
    let counters = Arc::new(Counters::default());
    let service = TransformService {
        keep_alive,
        lab: None,
        offload: false,
    };
    let listener = listen("threads");
    let shared = Arc::clone(&counters);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (counters, service) = (Arc::clone(&shared), service.clone());
            counters.accepted();
            thread::spawn(move || {
                let _reset = serve(stream, &service, &counters);
                counters.closed(CloseReason::Done);
            });
        }
    });
    sigterm().wait().unwrap();
    counters.requests(extra);
    counters.answered(extra);
    let counts = Counts::from(&*counters);
    fs::write(stats, serde_json::to_string(&counts).unwrap() + "\n").unwrap();
}

/// Answers as every server does: a refusal closes without a reply.
fn serve(
    mut stream: TcpStream,
    service: &TransformService,
    counters: &Counters,
) -> std::io::Result<()> {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        counters.read(bytes as u64);
        let mut replies = Vec::new();
        let last = answer(
            decoder.feed(&buffer[..bytes]),
            service,
            counters,
            &mut replies,
        );
        counters.wrote(replies.len() as u64);
        stream.write_all(&replies)?;
        if last {
            stream.shutdown(Shutdown::Write)?;
            decoder.close();
        }
    }
}

/// Appends the replies to all frames; returns whether they are the last.
fn answer(
    mut frames: Frames<'_, '_>,
    service: &TransformService,
    counters: &Counters,
    replies: &mut Vec<u8>,
) -> bool {
    loop {
        let refusal = match frames.next() {
            Ok(None) => return false,
            Ok(Some(frame)) => service.answer(frame, FRAME_BYTES_MAX, replies).err(),
            Err(error) => Some(error.into()),
        };
        counters.requests(1);
        match &refusal {
            Some(refusal) => counters.refused(refusal),
            None => counters.answered(1),
        }
        if refusal.is_some() || !service.keep_alive {
            return true;
        }
    }
}

/// Fetches all poems at once, and prints each transformed.
fn transform(options: &[&str]) {
    let [
        "--transform",
        transform,
        "--via",
        via,
        "--strict-transform",
        addresses @ ..,
    ] = options
    else {
        panic!("other options: {options:?}");
    };
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let via = BareVia {
        transform,
        address: via.parse().unwrap(),
    };
    fetch_bare(&addresses, Some(via), &mut std::io::stdout()).unwrap();
}

/// Fetches all poems at once, and prints each after `change`.
fn fetch(addresses: &[&str], change: fn(String) -> String) {
    let connect = |address: &&str| TcpStream::connect(address).unwrap();
    let streams: Vec<TcpStream> = addresses.iter().map(connect).collect();
    for mut stream in streams {
        let mut poem = String::new();
        stream.read_to_string(&mut poem).unwrap();
        print!("{}", change(poem));
    }
}
