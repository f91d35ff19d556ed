//! Step 2: a thread for each poem. It takes as long as the slowest poem, and `get_poetry` has not changed.
//!
//! `cargo run -p quatrain-blocking --example step_2_a_thread_each 127.0.0.1:10001 127.0.0.1:10002`

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
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

/// Fetches all poems, in the order of the addresses.
pub(crate) fn get_all(addresses: &[SocketAddr]) -> Vec<io::Result<String>> {
    let fetch = |&address: &SocketAddr| thread::spawn(move || get_poetry(address));
    let threads: Vec<_> = addresses.iter().map(fetch).collect();
    threads.into_iter().map(outcome).collect()
}

/// What a thread came to; one that panicked is an error like any other.
fn outcome(thread: thread::JoinHandle<io::Result<String>>) -> io::Result<String> {
    thread
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
