//! What a reset means to a client (S11): after FIN the poem is complete, before it the poem is lost, however late the client
//! looks. Also how slowly a server may take a request (S15).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use poetry::{Event, FetchFailure, Kind, Outcome, Role};

use crate::WAIT_MAX;
use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure, same_bytes};
use crate::fake_servers::{FakeServer, Listener, RepliesThenResets, Serves};
use crate::fetching::{expect_failure, expect_original, expect_poem, plain, transformed};
use crate::wire::{netstring, request, text};

cases! { PoemClient:
    a_poem_reset_after_its_fin_is_a_poem [S11 S1],
    a_poem_reset_after_its_fin_before_the_client_looks_is_a_poem [S11 S1],
    a_poem_reset_before_its_fin_and_before_the_client_looks_is_lost [S11],
    a_poem_cut_by_the_grace_of_its_server_is_lost [S11 S21],
    a_transformed_poem_reset_after_its_fin_is_a_poem [S11 S13],
    a_transformed_poem_reset_in_the_middle_is_lost [S11 S13],
    a_transform_server_that_takes_the_request_slowly_is_not_idle [S13 S15 S18],
}

const POEM: &str = "a poem that is complete before the client looks";

/// Serves [`POEM`], with or without FIN, and resets.
fn resetting(with_fin: bool) -> Check<FakeServer> {
    FakeServer::start(RepliesThenResets {
        request_bytes: 0,
        reply: POEM.into(),
        with_fin,
    })
}

/// Fetches a poem; when it is connected, the client's thread is kept busy until the server has reset the connection.
fn reset_once_connected(context: &Context, server: &FakeServer) -> Check<Outcome> {
    let ended = server.ended();
    let hold = move |event: &poetry::Event| {
        if event.kind == Kind::Connected {
            ended.wait_for(1);
        }
    };
    let requests = vec![plain(server.address())];
    context.client()?.start_holding(requests, hold).outcome()
}

fn a_poem_reset_after_its_fin_is_a_poem(context: &Context) -> Check {
    let server = resetting(true)?;
    expect_poem(&reset_once_connected(context, &server)?, POEM)
}

const FETCHES: usize = 10;

/// Fetches several poems. Before each connects, the client's thread is kept busy until the connections before it have been
/// reset. A client of one thread therefore looks at none of them earlier, except at the last.
fn reset_before_the_client_looks(context: &Context, server: &FakeServer) -> Check<Vec<Outcome>> {
    let (ended, connecting) = (server.ended(), AtomicUsize::new(0));
    let hold = move |event: &poetry::Event| {
        if event.kind == Kind::Connecting {
            ended.wait_for(connecting.fetch_add(1, Ordering::SeqCst));
        }
    };
    let requests = vec![plain(server.address()); FETCHES];
    // The first fetch connects as long as all holds take.
    let all_holds = WAIT_MAX * FETCHES as u32;
    let client = context.client_with(|limits| limits.connect_timeout = all_holds)?;
    client.start_holding(requests, hold).outcomes()
}

fn a_poem_reset_after_its_fin_before_the_client_looks_is_a_poem(context: &Context) -> Check {
    let outcomes = reset_before_the_client_looks(context, &resetting(true)?)?;
    outcomes
        .iter()
        .try_for_each(|outcome| expect_poem(outcome, POEM))
}

fn expect_lost(outcome: &Outcome, address: &str) -> Check {
    expect_failure(outcome, "connection lost", address, |failure| {
        matches!(failure, FetchFailure::ConnectionLost { .. })
    })
}

fn a_poem_reset_before_its_fin_and_before_the_client_looks_is_lost(context: &Context) -> Check {
    let server = resetting(false)?;
    let address = server.address().to_string();
    expect_lost(&reset_once_connected(context, &server)?, &address)?;
    let server = resetting(false)?;
    let address = server.address().to_string();
    let outcomes = reset_before_the_client_looks(context, &server)?;
    outcomes
        .iter()
        .try_for_each(|outcome| expect_lost(outcome, &address))
}

fn a_poem_cut_by_the_grace_of_its_server_is_lost(context: &Context) -> Check {
    const NEVER: Duration = Duration::from_secs(3_600);
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let address = server.address();
    let fetching = context.client()?.start(vec![plain(address)]);
    fetching.wait_read(0, 11)?;
    server.stop(Duration::from_millis(100))?;
    expect_lost(&fetching.outcome()?, &address.to_string())
}

/// Fetches a poem and its transform, whose server sends `reply` and resets.
fn transform_reset(context: &Context, reply: &[u8], with_fin: bool) -> Check<(Outcome, String)> {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let server = FakeServer::start(RepliesThenResets {
        request_bytes: request("shout", "a poem").len(),
        reply: reply.to_vec(),
        with_fin,
    })?;
    let request = transformed(poem.address(), "shout", server.address());
    let outcome = context.client()?.fetch_one(request)?;
    Ok((outcome, server.address().to_string()))
}

fn a_transformed_poem_reset_after_its_fin_is_a_poem(context: &Context) -> Check {
    for with_fin in [true, false] {
        let (outcome, _) = transform_reset(context, b"6:A POEM,", with_fin)?;
        expect_poem(&outcome, "A POEM")?;
    }
    Ok(())
}

fn a_transformed_poem_reset_in_the_middle_is_lost(context: &Context) -> Check {
    let (outcome, via) = transform_reset(context, b"6:A PO", false)?;
    expect_original(&outcome, "a poem", "connection lost", &via, |failure| {
        matches!(failure, FetchFailure::ConnectionLost { .. })
    })
}

/// The kernel announces room for a write only when a third of its buffer is free. A server that takes little in each idle
/// timeout makes room, of which the client must not wait to hear. A piece is more than the server's window, so that each one
/// makes room: the server's kernel does not announce a window that is a little larger.
fn a_transform_server_that_takes_the_request_slowly_is_not_idle(context: &Context) -> Check {
    const ATTEMPTS: usize = 5;
    const IDLE: Duration = Duration::from_millis(600);
    const BYTES: usize = 8 << 20;
    const RECEIVE_BUFFER: usize = 64 << 10;
    const PIECE: usize = 2 * RECEIVE_BUFFER;
    const PIECES: usize = 20;
    let poem = text(BYTES);
    let server = FakeServer::start(Serves(poem.clone().into()))?;
    let client = context.client_with(|limits| {
        limits.idle_timeout = IDLE;
        limits.frame_bytes_max = 2 * BYTES;
    })?;
    let sent = request("shout", &poem);
    for _ in 0..ATTEMPTS {
        let transform = Listener::narrow(RECEIVE_BUFFER)?;
        let connecting = Arc::new(OnceLock::new());
        let hold = {
            let connecting = Arc::clone(&connecting);
            move |event: &Event| {
                if event.role == Role::TransformClient && event.kind == Kind::Connecting {
                    let _ = connecting.set(Instant::now());
                }
            }
        };
        let requests = vec![transformed(server.address(), "shout", transform.address())];
        let fetching = client.start_holding(requests, hold);
        let mut connection = transform.accept()?;
        let mut steady = true;
        let mut take = || {
            // The client waits from then on, although this thread may accept its connection much later.
            let connecting = connecting.get().copied();
            let (mut received, mut begun) = (Vec::new(), connecting.unwrap_or_else(Instant::now));
            let mut take_piece = |bytes| {
                let piece = connection.receive(bytes);
                // Also if it fails: the client closes when this thread was late for longer than its idle timeout.
                steady &= begun.elapsed() < IDLE / 2;
                begun = Instant::now();
                received.extend(piece?);
                Ok::<(), Failure>(())
            };
            for _ in 0..PIECES {
                // A pause that makes the server slow; it waits for nothing.
                thread::sleep(IDLE / 6);
                take_piece(PIECE)?;
            }
            take_piece(sent.len() - PIECES * PIECE)?;
            connection.send(&netstring("SLOWLY"))?;
            Ok(received)
        };
        let received: Check<Vec<u8>> = take();
        drop(connection);
        let outcome = fetching.outcome()?;
        // An attempt in which a busy machine slowed the server down is inconclusive.
        if steady {
            same_bytes("the request", &received?, &sent)?;
            return expect_poem(&outcome, "SLOWLY");
        }
    }
    Err(Failure::Needs("a less busy machine".to_owned()))
}
