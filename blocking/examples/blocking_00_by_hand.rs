//! Step 0, the client of the tutorial's Part 2, by hand: connect, read until the server closes, and only then go on to the
//! next poem. The program spends its time in `read`, and mostly nothing has arrived.
//!
//! `cargo run -p quatrain-blocking --example blocking_00_by_hand`, or with ports: `… -- 10001 10002`

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::process::ExitCode;

use common::Fetched;
use poetry::{Peer, Poem};

fn main() -> ExitCode {
    common::run(get_all)
}

/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    peers.iter().map(get_poetry).collect()
}

fn get_poetry(peer: &Peer) -> Fetched {
    let mut stream = TcpStream::connect(peer.addresses()?)?;
    let mut poem = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(Poem::from_utf8(&poem)?),
            length => poem.extend_from_slice(&buffer[..length]),
        }
    }
}
