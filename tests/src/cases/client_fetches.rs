//! Successful fetches (S10, S12, S14, S15): whole poems, in request order, from the first address that answers.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use poetry::{FetchRequest, Peer};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure, ensure, equal, same_bytes};
use crate::fake_servers::{FakeServer, Listener, NeverAccepts, Refuses, Serves, ServesByteByByte};
use crate::fetching::{Fetcher, expect_poem, plain};
use crate::wire::{NON_ASCII, text};

cases! { PoemClient:
    #[smoke] fetches_a_poem_to_its_last_byte [S1 S10],
    #[smoke] an_empty_poem_is_a_poem [S1],
    fetches_a_poem_of_many_megabytes [S1 S15],
    a_character_split_across_reads_arrives_whole [S12],
    #[smoke] a_poem_sent_byte_by_byte_arrives_unchanged [S1 S12],
    #[smoke] poems_are_fetched_concurrently [S10],
    #[smoke] outcomes_are_in_request_order_not_arrival_order [S10],
    two_requests_to_one_server_are_two_fetches [S10],
    an_empty_list_of_requests_has_no_outcomes [S10],
    a_thousand_poems_are_fetched_concurrently [S10 S15] needs [ManyConnections],
    addresses_are_tried_in_order [S10],
    the_first_address_that_answers_is_the_only_one_used [S10],
    a_connect_timeout_moves_on_to_the_next_address [S10 S15],
    fetches_over_ipv6 [S10],
    a_client_of_two_threads_fetches_every_poem [S10],
    a_client_can_be_reused [S14],
    a_client_can_be_used_by_two_threads_at_once [S14],
    sends_nothing_to_a_poem_server_and_closes_after_its_fin [S1],
}

fn fetches_a_poem_to_its_last_byte(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(1_500).into()))?;
    let outcome = context.client()?.fetch_one(plain(server.address()))?;
    expect_poem(&outcome, &text(1_500))?;
    equal("bytes received", &outcome.bytes, &1_500)
}

fn an_empty_poem_is_a_poem(context: &Context) -> Check {
    let server = FakeServer::start(Serves(Vec::new()))?;
    let outcome = context.client()?.fetch_one(plain(server.address()))?;
    expect_poem(&outcome, "")?;
    equal("bytes received", &outcome.bytes, &0)
}

fn fetches_a_poem_of_many_megabytes(context: &Context) -> Check {
    let poem = text(20 << 20);
    let server = FakeServer::start(Serves(poem.clone().into()))?;
    expect_poem(
        &context.client()?.fetch_one(plain(server.address()))?,
        &poem,
    )
}

fn a_character_split_across_reads_arrives_whole(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    for (sent, byte) in NON_ASCII.as_bytes().chunks(1).enumerate() {
        server.send(byte)?;
        // Each byte waits until the client has read the one before, so every multi-byte character is split.
        fetching.wait_read(0, sent as u64 + 1)?;
    }
    drop(server);
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

fn a_poem_sent_byte_by_byte_arrives_unchanged(context: &Context) -> Check {
    let poem = NON_ASCII.repeat(20);
    let server = FakeServer::start(ServesByteByByte(poem.clone().into()))?;
    expect_poem(
        &context.client()?.fetch_one(plain(server.address()))?,
        &poem,
    )
}

fn poems_are_fetched_concurrently(context: &Context) -> Check {
    let listeners = (0..10)
        .map(|_| Listener::new())
        .collect::<Check<Vec<_>>>()?;
    let requests = listeners
        .iter()
        .map(|listener| plain(listener.address()))
        .collect();
    let fetching = context.client()?.start(requests);
    // No server sends before the client has connected to all of them.
    let servers = listeners
        .iter()
        .map(Listener::accept)
        .collect::<Check<Vec<_>>>()?;
    for (number, mut server) in servers.into_iter().enumerate() {
        server.send(format!("poem {number}").as_bytes())?;
    }
    for (number, outcome) in fetching.outcomes()?.iter().enumerate() {
        expect_poem(outcome, &format!("poem {number}"))?;
    }
    Ok(())
}

fn outcomes_are_in_request_order_not_arrival_order(context: &Context) -> Check {
    let listeners = (0..4).map(|_| Listener::new()).collect::<Check<Vec<_>>>()?;
    let requests = listeners
        .iter()
        .map(|listener| plain(listener.address()))
        .collect();
    let fetching = context.client()?.start(requests);
    for (task, listener) in listeners.iter().enumerate().rev() {
        let mut server = listener.accept()?;
        server.send(format!("poem {task}").as_bytes())?;
        drop(server);
        let finished = |event: &poetry::Event| {
            event.scene.task == task as u64 && matches!(event.kind, poetry::Kind::Finished { .. })
        };
        fetching
            .journal()
            .wait_for("one poem finished before the next begins", |events| {
                events.iter().any(finished)
            })?;
    }
    for (number, outcome) in fetching.outcomes()?.iter().enumerate() {
        expect_poem(outcome, &format!("poem {number}"))?;
    }
    Ok(())
}

fn two_requests_to_one_server_are_two_fetches(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address()); 2]);
    for _ in 0..2 {
        listener.accept()?.send(b"the poem")?;
    }
    fetching
        .outcomes()?
        .iter()
        .try_for_each(|outcome| expect_poem(outcome, "the poem"))
}

fn an_empty_list_of_requests_has_no_outcomes(context: &Context) -> Check {
    context.client()?.fetch(Vec::new()).map(drop)
}

fn a_thousand_poems_are_fetched_concurrently(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![plain(listener.address()); 1_000]);
    let servers = (0..1_000)
        .map(|_| listener.accept())
        .collect::<Check<Vec<_>>>()?;
    for mut server in servers {
        server.send(text(600).as_bytes())?;
    }
    fetching
        .outcomes()?
        .iter()
        .try_for_each(|outcome| expect_poem(outcome, &text(600)))
}

pub(super) fn fetches_a_second_while_the_first_waits(client: &Fetcher) -> Check {
    let (one, two) = (Listener::new()?, Listener::new()?);
    let first = client.start(vec![plain(one.address())]);
    let mut to_first = one.accept()?;
    let second = client.start(vec![plain(two.address())]);
    two.accept()?.send(b"the second")?;
    expect_poem(&second.outcome()?, "the second")?;
    to_first.send(b"the first")?;
    drop(to_first);
    expect_poem(&first.outcome()?, "the first")
}

fn at_addresses(addresses: Vec<SocketAddr>) -> FetchRequest {
    FetchRequest {
        peer: Peer::new("a name with several addresses", addresses),
        name: None,
        via: None,
    }
}

fn addresses_are_tried_in_order(context: &Context) -> Check {
    let (one, two) = (Refuses::new()?, Refuses::new()?);
    let server = FakeServer::start(Serves(b"the poem".into()))?;
    let addresses = vec![one.address(), two.address(), server.address()];
    expect_poem(
        &context.client()?.fetch_one(at_addresses(addresses))?,
        "the poem",
    )
}

fn the_first_address_that_answers_is_the_only_one_used(context: &Context) -> Check {
    let first = FakeServer::start(Serves(b"the first".into()))?;
    let second = Listener::new()?;
    let addresses = vec![first.address(), second.address()];
    expect_poem(
        &context.client()?.fetch_one(at_addresses(addresses))?,
        "the first",
    )?;
    second.expect_no_client()
}

fn a_connect_timeout_moves_on_to_the_next_address(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    let server = FakeServer::start(Serves(b"the poem".into()))?;
    let client =
        context.client_with(|limits| limits.connect_timeout = Duration::from_millis(300))?;
    let addresses = vec![never.address(), server.address()];
    expect_poem(&client.fetch_one(at_addresses(addresses))?, "the poem")
}

fn fetches_over_ipv6(context: &Context) -> Check {
    super::poem_served::needs_ipv6()?;
    let listener = Listener::at((Ipv6Addr::LOCALHOST, 0).into())
        .map_err(|error| Failure::broken(error.to_string()))?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    listener.accept()?.send(NON_ASCII.as_bytes())?;
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

fn a_client_of_two_threads_fetches_every_poem(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(5_000).into()))?;
    let client = context.client_with_threads(2, |_| {})?;
    let outcomes = client.fetch(vec![plain(server.address()); 40])?;
    outcomes
        .iter()
        .try_for_each(|outcome| expect_poem(outcome, &text(5_000)))
}

fn a_client_can_be_reused(context: &Context) -> Check {
    let server = FakeServer::start(Serves(b"the poem".into()))?;
    let refusing = Refuses::new()?;
    let client = context.client()?;
    for _ in 0..3 {
        expect_poem(&client.fetch_one(plain(server.address()))?, "the poem")?;
        let failed = client.fetch_one(plain(refusing.address()))?;
        ensure(failed.poem.is_err(), || {
            "expected an error, got a poem".to_owned()
        })?;
    }
    Ok(())
}

fn a_client_can_be_used_by_two_threads_at_once(context: &Context) -> Check {
    fetches_a_second_while_the_first_waits(&context.client()?)
}

fn sends_nothing_to_a_poem_server_and_closes_after_its_fin(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    server.send(b"the poem")?;
    server.half_close()?;
    let (sent, _) = server.receive_to_end()?;
    same_bytes("the bytes that the client sent", &sent, b"")?;
    expect_poem(&fetching.outcome()?, "the poem")
}
