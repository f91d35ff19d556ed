//! Step 1, the same client with the model's `get_poetry`: one poem after another. It takes as long as all poems together:
//! 1.5 s for the three that the example serves itself.
//!
//! `cargo run -p quatrain-blocking --example blocking_01_one_after_another`, or with ports: `… -- 10001 10002`

mod common;

use std::process::ExitCode;

use blocking::get_poetry;
use common::Fetched;
use poetry::Peer;

fn main() -> ExitCode {
    common::run(get_all)
}

// ANCHOR: get_all
/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    peers
        .iter()
        .map(|peer| Ok(get_poetry(peer.clone())?))
        .collect()
}
// ANCHOR_END: get_all
