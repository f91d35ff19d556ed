//! Step 8: a caching proxy. Ten clients ask for a slow poem at once; the proxy fetches it once, and each waits in a thread of
//! its own until it has arrived. Those that ask later do not wait.
//!
//! `cargo run -p quatrain-blocking --example blocking_08_proxy`, or with the port of a poem server: `… -- 10001`

use std::error::Error;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use blocking::{FetchError, Pace, Peer, Poem, PoemService, ProxyService, RunningServer};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

const CLIENTS: usize = 10;

fn run() -> Result<(), Box<dyn Error>> {
    let mut server = None; // Serves until the end of this function.
    let upstream: Peer = match std::env::args().nth(1) {
        Some(peer) => peer.parse()?,
        None => server.insert(serve_slowly()?).address().into(),
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = blocking::serve_proxy(
        listener,
        ProxyService {
            upstream,
            ttl: None,
        },
    )?;
    for clients in ["the first", "the next"] {
        let begun = Instant::now();
        let poem = get_by_many(&proxy.address().into())?;
        let elapsed = begun.elapsed().as_secs_f64();
        println!("{poem}");
        println!("{clients} {CLIENTS} clients have it after {elapsed:.2} s");
    }
    let fetches = proxy.counters().fetches.begun;
    println!("fetches: {fetches}");
    Ok(())
}

/// Fetches the poem from many threads at once, and returns one of the copies.
fn get_by_many(peer: &Peer) -> Result<Poem, FetchError> {
    thread::scope(|scope| {
        let get = || blocking::get_poetry(peer.clone());
        let threads: Vec<_> = (1..CLIENTS).map(|_| scope.spawn(get)).collect();
        let mut poem = get();
        for thread in threads {
            poem = thread
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))
                .and(poem);
        }
        poem
    })
}

/// Starts a server that takes half a second to send its poem.
fn serve_slowly() -> Result<RunningServer, Box<dyn Error>> {
    let service = PoemService {
        poem: "Nine boats came home\nand one came late.\n".into(),
        pace: Pace::Slow {
            num_bytes: NonZeroUsize::new(4).ok_or("zero")?,
            delay: Duration::from_millis(50),
        },
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(blocking::serve_poem(listener, service)?)
}
