//! Peers that finish sending and still receive (S6), which a proxy's waiting clients do not (S9).

use std::time::Duration;

use crate::failure::{Check, same_bytes};
use crate::fake_servers::Listener;
use crate::faults::{Content, FaultContext, FaultRole, Observed, fault_cases};
use crate::wire::text;

fault_cases! {
    "half-closed connections":
    answers_a_peer_that_has_finished_sending
        [S1] for [PoemServer] [S6] for [TransformServer] [S6 S8] for [LibraryServer] [S1 S9] for [Proxy],
    "waiting clients that leave":
    cancels_the_fetch_when_the_last_waiting_client_has_finished_sending [S9] for [Proxy],
}

fn answers_a_peer_that_has_finished_sending(context: &FaultContext) -> Check<Observed> {
    const REQUESTS: usize = 3;
    let content = match context.role() {
        FaultRole::PoemServer => Content::Slow(text(600), 100, Duration::from_millis(50)),
        _ => Content::Quick,
    };
    let server = context.server(content).start()?;
    // A proxy has the poem after this.
    server.serves()?;
    let mut client = server.connect()?;
    client.send(&server.question().repeat(REQUESTS))?;
    client.half_close()?;
    let answers = match server.question().is_empty() {
        true => 1,
        false => REQUESTS,
    };
    let received = client.receive_to_fin()?;
    same_bytes("the answers", &received, &server.answer().repeat(answers))?;
    let counts = server.settled()?;
    server.stop()?;
    Ok(Observed::that("every answer arrived, then FIN").closed(counts.as_ref()))
}

fn cancels_the_fetch_when_the_last_waiting_client_has_finished_sending(
    context: &FaultContext,
) -> Check<Observed> {
    let upstream = Listener::new()?;
    let server = context
        .server(Content::Quick)
        .upstream(upstream.address())
        .start()?;
    let mut clients = [server.connect()?, server.connect()?];
    let mut fetch = upstream.accept()?;
    server.wait_until("two waiting clients", |counts| counts.open == 2)?;
    for client in &mut clients {
        client.half_close()?;
    }
    fetch.expect_closed()?;
    for client in &mut clients {
        client.expect_closed()?;
    }
    let counts = server.wait_until("a cancelled fetch, and no open connection", |counts| {
        counts.open == 0 && counts.fetches.cancelled == 1
    })?;
    // The next client starts a new fetch.
    let mut client = server.connect()?;
    let mut fetch = upstream.accept()?;
    fetch.send(server.poem().as_bytes())?;
    fetch.half_close()?;
    client.expect_last("the poem", &server.answer())?;
    server.stop()?;
    Ok(Observed::that("the upstream connection was closed")
        .and("the next client started a new fetch")
        .closed(counts.as_ref()))
}
