//! Step 5: deadlines. A socket knows a timeout for each call; what is wanted is one for the whole poem, so each read
//! gets what is left of it.
//!
//! `cargo run -p quatrain-blocking --example step_5_deadlines 127.0.0.1:10001 127.0.0.1:10002`

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let addresses: Vec<SocketAddr> = std::env::args()
        .skip(1)
        .flat_map(|arg| arg.parse())
        .collect();
    for (address, poem) in addresses.iter().zip(get_all(&addresses)) {
        match poem {
            Ok(poem) => println!("{poem}"),
            Err(error) => eprintln!("{address}: {error}"),
        }
    }
}

/// The stack of a thread; the default is two megabytes.
const STACK_BYTES: usize = 128 << 10;
/// Fetches under way at once.
const FETCHES_MAX: usize = 1_000;
/// From connecting to the last byte of one poem.
const POEM_DEADLINE: Duration = Duration::from_secs(600);

/// Fetches all poems, in the order of the addresses.
pub(crate) fn get_all(addresses: &[SocketAddr]) -> Vec<io::Result<String>> {
    let poems: Vec<OnceLock<_>> = addresses.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(&address) = addresses.get(index)
        {
            poems[index].get_or_init(|| get_poetry(address));
        }
    };
    thread::scope(|scope| {
        for _ in 1..addresses.len().min(FETCHES_MAX) {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            if builder.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    poems.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Fetches one poem: all bytes until the server closes, or until its time is over.
fn get_poetry(address: SocketAddr) -> io::Result<String> {
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
            Ok(0) => return String::from_utf8(poem).map_err(io::Error::other),
            Ok(length) => poem.extend_from_slice(&buffer[..length]),
            // The kernel counts in ticks: it may be early by one.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
