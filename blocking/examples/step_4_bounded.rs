//! Step 4: bounded. So many threads share the addresses; more poems wait their turn, and where a thread cannot be had,
//! those that there are do its work.
//!
//! `cargo run -p quatrain-blocking --example step_4_bounded 127.0.0.1:10001 127.0.0.1:10002`

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// Fetches one poem: all bytes until the server closes.
fn get_poetry(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut poem = String::new();
    stream.read_to_string(&mut poem)?;
    Ok(poem)
}
