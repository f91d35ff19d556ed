//! Step 1, the client of Part 1: one poem after another. It takes as long as all poems together.
//!
//! `cargo run -p quatrain-blocking --example step_1_one_after_another 127.0.0.1:10001 127.0.0.1:10002`

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};

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
    addresses
        .iter()
        .map(|&address| get_poetry(address))
        .collect()
}

/// Fetches one poem: all bytes until the server closes.
fn get_poetry(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut poem = String::new();
    stream.read_to_string(&mut poem)?;
    Ok(poem)
}
