//! Step 4: a bounded number of threads. Each takes one peer after another, so further poems wait for a thread; and if no
//! more threads can be spawned, those that run do the work.
//!
//! `cargo run -p quatrain-blocking --example blocking_04_bounded`, or with ports: `… -- 10001 10002`

mod common;

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use blocking::get_poetry;
use common::Fetched;
use poetry::Peer;

fn main() -> ExitCode {
    common::run(get_all)
}

/// The stack of a thread; the default is two megabytes.
const STACK_BYTES: usize = 128 << 10;
/// Fetches under way at once, and so threads: most systems allow a process that many.
const FETCHES_MAX: usize = 1_000;

/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    let poems: Vec<OnceLock<Fetched>> = peers.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(peer) = peers.get(index)
        {
            poems[index].get_or_init(|| Ok(get_poetry(peer.clone())?));
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
