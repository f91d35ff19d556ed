//! Step 2: a thread for each poem. It takes as long as the slowest poem, 0.5 s, and `get_poetry` has not changed. But a
//! thousand poems need a thousand threads, and `thread::spawn` panics when the system gives no more.
//!
//! `cargo run -p quatrain-blocking --example blocking_02_a_thread_each`, or with ports: `… -- 10001 10002`

mod common;

use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use blocking::get_poetry;
use common::Fetched;
use poetry::Peer;

fn main() -> ExitCode {
    common::run(get_all)
}

// ANCHOR: get_all
/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    let fetch = |peer: &Peer| {
        let peer = peer.clone();
        thread::spawn(move || Ok(get_poetry(peer)?))
    };
    let threads: Vec<_> = peers.iter().map(fetch).collect();
    threads.into_iter().map(join).collect()
}
// ANCHOR_END: get_all

/// Returns the thread's result. A panic is an error like any other.
fn join(thread: JoinHandle<Fetched>) -> Fetched {
    thread
        .join()
        .unwrap_or_else(|_| Err("the thread panicked".into()))
}
