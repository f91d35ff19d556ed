//! A handler that panics (S20).

use crate::connection::{Connection, End};
use crate::failure::{Check, equal, same_bytes};
use crate::faults::{Content, FaultContext, Observed, fault_cases};
use crate::wire::{netstring, request};

fault_cases! {
    "a handler that panics":
    delivers_the_replies_before_the_panic_and_closes_only_that_connection [S20] for [TransformServer],
}

fn delivers_the_replies_before_the_panic_and_closes_only_that_connection(
    context: &FaultContext,
) -> Check<Observed> {
    const PEERS: usize = 20;
    let server = context.server(Content::Quick).lab().start()?;
    let shout = request("shout", "ahoy");
    let mut other = server.connect()?;
    other.send(&shout)?;
    other.expect_reply("AHOY")?;
    let mut peers: Vec<Connection> = (0..PEERS).map(|_| server.connect()).collect::<Check<_>>()?;
    let crash = request("crash", "now");
    let requests = [&shout, &shout, &crash, &shout].map(Vec::as_slice);
    for peer in &mut peers {
        peer.send(&requests.concat())?;
    }
    let mut ends: Vec<End> = Vec::new();
    for peer in &mut peers {
        let (received, end) = peer.receive_to_end()?;
        same_bytes(
            "the replies before the panic",
            &received,
            &netstring("AHOY").repeat(2),
        )?;
        ends.push(end);
    }
    drop(peers);
    other.send(&shout)?;
    other.expect_reply("AHOY")?;
    drop(other);
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        equal("closed by a panic", &counts.closed.panic, &(PEERS as u64))?;
    }
    server.stop()?;
    let logged = server.log().matches("panicked").count();
    equal("lines about panics", &logged, &PEERS)?;
    Ok(
        Observed::that("the replies before the panic arrived, none after it")
            .and("another connection was served on")
            .and("one log line for each")
            .ends("connection", &ends)
            .closed(counts.as_ref()),
    )
}
