//! Step 5: a deadline for each poem, with the socket calls that `get_poetry` has hidden so far. A socket has a timeout for
//! each call; a poem needs one for all calls together, so each read gets the time that is left. The threads are as in step 4.
//!
//! `cargo run -p quatrain-blocking --example blocking_05_deadlines`, or with ports: `… -- 10001 10002`

mod common;

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::Fetched;
use poetry::{Peer, Poem};

fn main() -> ExitCode {
    common::run(get_all)
}

/// The stack of a thread; the default is two megabytes.
const STACK_BYTES: usize = 128 << 10;
/// Fetches under way at once, and so threads: most systems allow a process that many.
const FETCHES_MAX: usize = 1_000;
/// From connecting to the last byte of one poem. It is long, since a slow poem takes minutes.
const POEM_DEADLINE: Duration = Duration::from_secs(600);

/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    let poems: Vec<OnceLock<Fetched>> = peers.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(peer) = peers.get(index)
        {
            poems[index].get_or_init(|| Ok(get_poetry(peer.addresses()?[0])?));
        }
    };
    thread::scope(|scope| {
        for _ in 1..peers.len().min(FETCHES_MAX) {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            if builder.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    poems.into_iter().filter_map(OnceLock::into_inner).collect()
}

// ANCHOR: read_until_deadline
/// Fetches one poem: all bytes until the server closes, or an error at the deadline.
fn get_poetry(address: SocketAddr) -> io::Result<Poem> {
    let deadline = Instant::now() + POEM_DEADLINE;
    let mut stream = TcpStream::connect_timeout(&address, POEM_DEADLINE)?;
    let mut poem = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Poem::from_utf8(&poem).map_err(io::Error::other),
            Ok(length) => poem.extend_from_slice(&buffer[..length]),
            // The kernel rounds to its ticks and may return one tick early.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: read_until_deadline
