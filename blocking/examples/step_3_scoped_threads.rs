//! Step 3: scoped threads. They may borrow, none outlives the call, and a stack is as small as its work.
//!
//! `cargo run -p quatrain-blocking --example step_3_scoped_threads 127.0.0.1:10001 127.0.0.1:10002`

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, ScopedJoinHandle};

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

/// Fetches all poems, in the order of the addresses.
pub(crate) fn get_all(addresses: &[SocketAddr]) -> Vec<io::Result<String>> {
    thread::scope(|scope| {
        let fetch = |&address: &SocketAddr| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || get_poetry(address))
        };
        let threads: Vec<_> = addresses.iter().map(fetch).collect();
        threads.into_iter().map(outcome).collect()
    })
}

/// What a thread came to; one that panicked, or could not be had, is an error like any other.
fn outcome(thread: io::Result<ScopedJoinHandle<'_, io::Result<String>>>) -> io::Result<String> {
    thread?
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
}

/// Fetches one poem: all bytes until the server closes.
fn get_poetry(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut poem = String::new();
    stream.read_to_string(&mut poem)?;
    Ok(poem)
}
