//! Step 6: the model's own client. It bounds its threads and has deadlines, as in steps 4 and 5. It can also be cancelled,
//! report events to an observer, and have poems transformed (`via`), none of which this step uses: the documentation of
//! `PoemClient` shows how.
//!
//! `cargo run -p quatrain-blocking --example blocking_06_the_client`, or with ports: `… -- 10001 10002`

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use blocking::PoemClient;
use common::Fetched;
use poetry::event::Unobserved;
use poetry::{Cancel, FetchRequest, Outcome, Peer};

fn main() -> ExitCode {
    common::run(get_all)
}

/// Fetches all poems, in the order of the peers.
pub(crate) fn get_all(peers: &[Peer]) -> Vec<Fetched> {
    let request = |peer: &Peer| FetchRequest::new(peer.clone());
    let requests: Vec<_> = peers.iter().map(request).collect();
    let client = PoemClient::default();
    let outcomes = client.fetch_all(&requests, Arc::new(Unobserved), &Cancel::new());
    let poem = |outcome: Outcome| Ok(outcome.poem?.into());
    outcomes.into_iter().map(poem).collect()
}
