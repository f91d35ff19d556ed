//! Step 6: the model's own client. It is step 5 that can be cancelled from outside, tells what happens, tells errors
//! apart, and has poems transformed; that begins all connections before it has threads for them, makes those beyond a
//! burst at a pace, and no more than the process may have.
//!
//! `cargo run -p quatrain-blocking --example step_6_the_client 127.0.0.1:10001 127.0.0.1:10002`

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use blocking::{PoemClient, net};
use poetry::event::Unobserved;
use poetry::{Cancel, Clock, FetchRequest, Options, Outcome};

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
    let client = PoemClient::new(&Options::new(Clock::new(net::now)));
    let request = |&address: &SocketAddr| FetchRequest {
        peer: address.into(),
        via: None,
    };
    let requests: Vec<_> = addresses.iter().map(request).collect();
    let outcomes = client.fetch_all(&requests, Arc::new(Unobserved), &Cancel::new());
    let poem = |outcome: Outcome| outcome.poem.map_err(io::Error::other);
    outcomes.into_iter().map(poem).collect()
}
