//! Step 3: scoped threads. They borrow the peers, none outlives the call, and their stacks are as small as their work. A
//! thread that cannot be spawned is an error of its poem.
//!
//! `cargo run -p quatrain-blocking --example blocking_03_scoped_threads`, or with ports: `… -- 10001 10002`

mod common;

use std::io;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use blocking::get_poetry;
use common::Fetched;
use poetry::Peer;

fn main() -> ExitCode {
    common::run(get_all)
}

/// The stack of a thread; the default is two megabytes.
const STACK_BYTES: usize = 128 << 10;

// ANCHOR: join_threads
/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    thread::scope(|scope| {
        let threads = peers.iter().map(|peer| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, || Ok(get_poetry(peer.clone())?))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(join).collect()
    })
}
// ANCHOR_END: join_threads

/// Returns the thread's result. A panic is an error like any other, and so is a thread that could not be spawned.
fn join(thread: io::Result<ScopedJoinHandle<'_, Fetched>>) -> Fetched {
    thread?
        .join()
        .unwrap_or_else(|_| Err("the thread panicked".into()))
}
