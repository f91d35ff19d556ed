//! Failed fetches (S11, S15): each failure has its own status, names its address and leaves other fetches alone.

use std::time::Duration;

use poetry::error::Timeout;
use poetry::{FetchFailure, FetchRequest, Outcome, Peer};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::fake_servers::{
    FakeServer, Listener, NeverAccepts, NeverAnswers, Refuses, SendsForever, Serves,
    TricklesForever,
};
use crate::fetching::{expect_failure, expect_poem, plain};
use crate::wire::text;

cases! { PoemClient:
    #[smoke] a_refused_connection_is_reported_as_connection_failed [S11],
    a_name_without_addresses_is_reported_as_connection_failed [S11 S10],
    an_unresolved_name_is_reported_as_connection_failed_with_its_cause [S11 S10],
    a_fetch_whose_every_address_fails_is_reported_as_connection_failed [S11 S10],
    a_server_that_never_accepts_is_reported_as_connection_failed [S11 S15],
    #[smoke] a_reset_mid_poem_is_reported_as_connection_lost_not_as_a_poem [S11],
    a_reset_before_the_first_byte_is_reported_as_connection_lost [S11],
    a_reset_before_the_client_sees_the_connection_is_reported_as_connection_lost [S11],
    a_server_that_never_answers_times_out [S11 S15],
    a_server_that_falls_silent_mid_poem_times_out [S11 S15],
    a_trickle_of_bytes_does_not_extend_the_total_deadline [S11 S15],
    an_endless_poem_is_too_long [S11 S15],
    a_poem_one_byte_over_the_limit_is_too_long [S11 S15],
    invalid_utf8_is_reported_with_its_offset [S11 S12],
    a_poem_that_ends_inside_a_character_is_reported_as_not_utf8 [S11 S12],
    #[smoke] failures_are_distinguished_and_do_not_affect_other_fetches [S11],
    a_failed_fetch_reports_the_bytes_it_received [S11],
}

const SHORT: Duration = Duration::from_millis(200);

/// Whether a failure is of the expected kind.
type Fits = fn(&FetchFailure) -> bool;

const FAILED: Fits = |failure| matches!(failure, FetchFailure::ConnectionFailed { .. });
const LOST: Fits = |failure| matches!(failure, FetchFailure::ConnectionLost { .. });
const IDLE: Fits = |failure| *failure == FetchFailure::TimedOut(Timeout::Idle);
const TOTAL: Fits = |failure| *failure == FetchFailure::TimedOut(Timeout::Total);

fn a_refused_connection_is_reported_as_connection_failed(context: &Context) -> Check {
    let refusing = Refuses::new()?;
    let outcome = context.client()?.fetch_one(plain(refusing.address()))?;
    expect_failure(
        &outcome,
        "connection failed",
        &refusing.address().to_string(),
        FAILED,
    )
}

fn request_to(peer: Peer) -> Vec<FetchRequest> {
    vec![FetchRequest {
        peer,
        name: None,
        via: None,
    }]
}

fn a_name_without_addresses_is_reported_as_connection_failed(context: &Context) -> Check {
    let outcome = &context
        .client()?
        .fetch(request_to(Peer::new("nowhere", Vec::new())))?[0];
    expect_failure(outcome, "connection failed", "nowhere", FAILED)
}

fn an_unresolved_name_is_reported_as_connection_failed_with_its_cause(context: &Context) -> Check {
    let peer = Peer::unresolved("no.such.name:1", "no such name");
    let outcome = &context.client()?.fetch(request_to(peer))?[0];
    expect_failure(
        outcome,
        "connection failed: no such name",
        "no.such.name:1",
        |failure| matches!(failure, FetchFailure::ConnectionFailed { cause } if cause.contains("no such name")),
    )
}

fn a_fetch_whose_every_address_fails_is_reported_as_connection_failed(context: &Context) -> Check {
    let (one, two) = (Refuses::new()?, Refuses::new()?);
    let peer = Peer::new("two addresses", vec![one.address(), two.address()]);
    let outcome = &context.client()?.fetch(request_to(peer))?[0];
    expect_failure(outcome, "connection failed", "two addresses", FAILED)
}

fn a_server_that_never_accepts_is_reported_as_connection_failed(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    let client = context.client_with(|limits| limits.connect_timeout = SHORT)?;
    let outcome = client.fetch_one(plain(never.address()))?;
    expect_failure(
        &outcome,
        "connection failed",
        &never.address().to_string(),
        FAILED,
    )
}

/// The outcome, and the address, of a fetch whose server sends `bytes` and resets the connection once they are read.
fn reset_after(context: &Context, bytes: &[u8]) -> Check<(Outcome, String)> {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    fetching.wait_connected(0)?;
    server.send(bytes)?;
    fetching.wait_read(0, bytes.len() as u64)?;
    server.reset()?;
    Ok((fetching.outcome()?, listener.address().to_string()))
}

fn a_reset_mid_poem_is_reported_as_connection_lost_not_as_a_poem(context: &Context) -> Check {
    let (outcome, address) = reset_after(context, b"half a ")?;
    expect_failure(&outcome, "connection lost", &address, LOST)
}

fn a_reset_before_the_first_byte_is_reported_as_connection_lost(context: &Context) -> Check {
    let (outcome, address) = reset_after(context, b"")?;
    expect_failure(&outcome, "connection lost", &address, LOST)
}

/// Enough connections that some are reset before the client learns that they are established.
fn a_reset_before_the_client_sees_the_connection_is_reported_as_connection_lost(
    context: &Context,
) -> Check {
    const MANY: usize = 50;
    let listener = Listener::new()?;
    let address = listener.address().to_string();
    let fetching = context
        .client()?
        .start(vec![plain(listener.address()); MANY]);
    for _ in 0..MANY {
        listener.accept()?.reset()?;
    }
    for outcome in fetching.outcomes()? {
        expect_failure(&outcome, "connection lost", &address, LOST)?;
    }
    Ok(())
}

fn a_server_that_never_answers_times_out(context: &Context) -> Check {
    let server = FakeServer::start(NeverAnswers)?;
    let client = context.client_with(|limits| limits.idle_timeout = SHORT)?;
    let outcome = client.fetch_one(plain(server.address()))?;
    expect_failure(
        &outcome,
        "timed out, idle",
        &server.address().to_string(),
        IDLE,
    )
}

fn a_server_that_falls_silent_mid_poem_times_out(context: &Context) -> Check {
    let listener = Listener::new()?;
    let client = context.client_with(|limits| limits.idle_timeout = SHORT)?;
    let fetching = client.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    server.send(b"half a ")?;
    let outcome = fetching.outcome()?;
    expect_failure(
        &outcome,
        "timed out, idle",
        &listener.address().to_string(),
        IDLE,
    )?;
    server.expect_closed().map(drop)
}

fn a_trickle_of_bytes_does_not_extend_the_total_deadline(context: &Context) -> Check {
    let server = FakeServer::start(TricklesForever {
        every: Duration::from_millis(15),
    })?;
    let client = context.client_with(|limits| limits.total_deadline = Some(SHORT))?;
    let outcome = client.fetch_one(plain(server.address()))?;
    expect_failure(
        &outcome,
        "timed out, total",
        &server.address().to_string(),
        TOTAL,
    )
}

fn too_long(limit: u64) -> impl Fn(&FetchFailure) -> bool {
    move |failure| *failure == FetchFailure::TooLong { limit }
}

fn an_endless_poem_is_too_long(context: &Context) -> Check {
    let server = FakeServer::start(SendsForever)?;
    let client = context.client_with(|limits| limits.poem_bytes_max = 1_000_000)?;
    let outcome = client.fetch_one(plain(server.address()))?;
    expect_failure(
        &outcome,
        "too long",
        &server.address().to_string(),
        too_long(1_000_000),
    )
}

fn a_poem_one_byte_over_the_limit_is_too_long(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(70_001).into()))?;
    let client = context.client_with(|limits| limits.poem_bytes_max = 70_000)?;
    let outcome = client.fetch_one(plain(server.address()))?;
    expect_failure(
        &outcome,
        "too long",
        &server.address().to_string(),
        too_long(70_000),
    )
}

fn not_utf8(context: &Context, bytes: &[u8], at: u64) -> Check {
    let server = FakeServer::start(Serves(bytes.to_vec()))?;
    let outcome = context.client()?.fetch_one(plain(server.address()))?;
    let what = format!("not UTF-8 at byte {at}");
    expect_failure(&outcome, &what, &server.address().to_string(), |failure| {
        *failure == FetchFailure::NotUtf8 { at }
    })
}

fn invalid_utf8_is_reported_with_its_offset(context: &Context) -> Check {
    not_utf8(context, b"caf\xe9 au lait\n", 3)
}

fn a_poem_that_ends_inside_a_character_is_reported_as_not_utf8(context: &Context) -> Check {
    not_utf8(context, b"a wave \xf0\x9f\x8c", 7)
}

fn failures_are_distinguished_and_do_not_affect_other_fetches(context: &Context) -> Check {
    let good = FakeServer::start(Serves(text(2_000).into()))?;
    let (refuses, silent) = (Refuses::new()?, FakeServer::start(NeverAnswers)?);
    let (endless, invalid) = (
        FakeServer::start(SendsForever)?,
        FakeServer::start(Serves(b"\xff".into()))?,
    );
    let resets = Listener::new()?;
    let client = context.client_with(|limits| {
        limits.idle_timeout = Duration::from_secs(2);
        limits.poem_bytes_max = 100_000;
    })?;
    let addresses = [
        good.address(),
        refuses.address(),
        resets.address(),
        good.address(),
        silent.address(),
        endless.address(),
        invalid.address(),
        good.address(),
    ];
    let fetching = client.start(addresses.iter().map(|&address| plain(address)).collect());
    let mut server = resets.accept()?;
    fetching.wait_connected(2)?;
    server.send(b"half a ")?;
    server.reset()?;
    let statuses: Vec<_> = fetching
        .outcomes()?
        .iter()
        .map(|outcome| match &outcome.poem {
            Ok(poem) if *poem == text(2_000) => "poem",
            Ok(_) => "another poem",
            Err(error) => error.failure.status(),
        })
        .collect();
    let expected = vec![
        "poem",
        "connection_failed",
        "connection_lost",
        "poem",
        "timed_out",
        "too_long",
        "not_utf8",
        "poem",
    ];
    equal("the outcomes", &statuses, &expected)?;
    expect_poem(&client.fetch_one(plain(good.address()))?, &text(2_000))
}

fn a_failed_fetch_reports_the_bytes_it_received(context: &Context) -> Check {
    let (outcome, _) = reset_after(context, b"half a ")?;
    equal("bytes received", &outcome.bytes, &7)
}
