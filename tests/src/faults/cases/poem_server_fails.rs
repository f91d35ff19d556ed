//! Poem servers that fail their client: they refuse, reset, fall silent, never end, or send no text (S10–S12, S15).

use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Check, equal};
use crate::fake_servers::{Behaviour, FakeServer, NeverAnswers, Refuses, SendsForever, Serves};
use crate::faults::beside::{expect_all, fetch_beside, status};
use crate::faults::{FaultContext, Observed, fault_cases};
use crate::wire::text;

fault_cases! {
    "servers that refuse connections":
    a_refused_connection_fails_alone [S11] for [Client],
    "servers that reset":
    a_reset_at_any_moment_loses_only_its_poem [S11] for [Client],
    a_poem_that_was_complete_before_a_reset_arrives [S11] for [Client],
    "servers that fall silent":
    a_silent_server_is_given_up_after_the_idle_timeout [S11 S15] for [Client],
    "empty poems":
    an_empty_poem_is_a_poem [S10] for [Client],
    "poems and replies over the limit":
    an_endless_poem_is_cut_off_at_the_limit [S11 S15] for [Client],
    "text that is not UTF-8":
    a_poem_that_is_not_utf8_fails_alone [S11 S12] for [Client],
    "names that do not resolve":
    a_name_that_does_not_resolve_fails_alone [S10 S11] for [Client],
}

const POEM_BYTES: usize = 50_000;

/// Sends these bytes, and ends the connection by a reset.
#[derive(Debug, Clone)]
struct Resets {
    bytes: Vec<u8>,
    /// Whether FIN comes before the reset: the poem is then complete.
    after_fin: bool,
}

impl Behaviour for Resets {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.send(&self.bytes)?;
        if self.after_fin {
            connection.half_close()?;
        }
        connection.reset()
    }
}

/// Sends these bytes and then nothing, until the client closes.
#[derive(Debug, Clone)]
struct FallsSilent(Vec<u8>);

impl Behaviour for FallsSilent {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.send(&self.0)?;
        connection.receive_to_end().map(drop)
    }
}

fn a_refused_connection_fails_alone(context: &FaultContext) -> Check<Observed> {
    let refuses = Refuses::new()?;
    let faulty = fetch_beside(context, |fetch| fetch.from(refuses.address()))?;
    expect_all(&faulty, 1, "connection_failed")?;
    Ok(Observed::that("connection failed")
        .and("the poems beside it arrived")
        .and("status 1"))
}

fn a_reset_at_any_moment_loses_only_its_poem(context: &FaultContext) -> Check<Observed> {
    let poem = text(POEM_BYTES).into_bytes();
    let moments = [0, 1, POEM_BYTES / 2, POEM_BYTES];
    let reset_after = |bytes| {
        FakeServer::start(Resets {
            bytes: poem[..bytes].to_vec(),
            after_fin: false,
        })
    };
    let servers: Vec<FakeServer> = moments.into_iter().map(reset_after).collect::<Check<_>>()?;
    let all = |fetch| {
        let addresses = servers.iter().map(FakeServer::address);
        addresses.fold(fetch, crate::faults::fetch::Fetch::from)
    };
    expect_all(
        &fetch_beside(context, all)?,
        moments.len(),
        "connection_lost",
    )?;
    Ok(Observed::that(
        "reset before the first byte, after it, in the middle and before FIN: connection lost",
    )
    .and("the poems beside them arrived")
    .and("status 1"))
}

fn a_poem_that_was_complete_before_a_reset_arrives(context: &FaultContext) -> Check<Observed> {
    const TIMES: usize = 20;
    let poem = text(POEM_BYTES);
    let server = FakeServer::start(Resets {
        bytes: poem.clone().into_bytes(),
        after_fin: true,
    })?;
    let often = |mut fetch: crate::faults::fetch::Fetch| {
        for _ in 0..TIMES {
            fetch = fetch.from(server.address());
        }
        fetch
    };
    let poems = fetch_beside(context, often)?;
    equal("the number of poems", &poems.len(), &TIMES)?;
    for object in poems {
        equal("the status", &status(&object), &"arrived")?;
        equal("the poem", &object["poem"].as_str(), &Some(poem.as_str()))?;
    }
    Ok(Observed::that(format!(
        "{TIMES} poems, each with FIN and then a reset: all arrived"
    )))
}

fn an_empty_poem_is_a_poem(context: &FaultContext) -> Check<Observed> {
    let empty = FakeServer::start(Serves(Vec::new()))?;
    let poems = fetch_beside(context, |fetch| fetch.from(empty.address()))?;
    let poem = poems
        .first()
        .map(|object| (status(object), object["poem"].as_str()));
    equal("the empty poem", &poem, &Some(("arrived", Some(""))))?;
    Ok(Observed::that("an empty poem arrived").and("status 0"))
}

fn a_silent_server_is_given_up_after_the_idle_timeout(context: &FaultContext) -> Check<Observed> {
    let silent = FakeServer::start(NeverAnswers)?;
    let half = text(POEM_BYTES / 2).into_bytes();
    let falls_silent = FakeServer::start(FallsSilent(half))?;
    let faulty = fetch_beside(context, |fetch| {
        let both = fetch.from(silent.address()).from(falls_silent.address());
        both.option("--idle-timeout", &IDLE_TIMEOUT.as_secs_f64().to_string())
    })?;
    expect_all(&faulty, 2, "timed_out")?;
    Ok(
        Observed::that("silent from the start, and from the middle: timed out")
            .and("the poems beside them arrived")
            .and("status 1"),
    )
}

/// Far longer than a poem beside needs, on a busy machine too.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

fn an_endless_poem_is_cut_off_at_the_limit(context: &FaultContext) -> Check<Observed> {
    let endless = FakeServer::start(SendsForever)?;
    let faulty = fetch_beside(context, |fetch| {
        let endless = fetch.from(endless.address());
        endless.option("--poem-bytes-max", "1000000")
    })?;
    expect_all(&faulty, 1, "too_long")?;
    Ok(Observed::that("too long")
        .and("the poems beside it arrived")
        .and("status 1"))
}

fn a_poem_that_is_not_utf8_fails_alone(context: &FaultContext) -> Check<Observed> {
    let mut bytes = text(POEM_BYTES).into_bytes();
    bytes.push(0xff);
    let latin = FakeServer::start(Serves(bytes))?;
    // A character that is cut by the end of the poem.
    let cut = FakeServer::start(Serves(b"a poem\xc3".to_vec()))?;
    let faulty = fetch_beside(context, |fetch| {
        fetch.from(latin.address()).from(cut.address())
    })?;
    expect_all(&faulty, 2, "not_utf8")?;
    Ok(Observed::that("not UTF-8; nothing of it printed")
        .and("the poems beside it arrived")
        .and("status 1"))
}

fn a_name_that_does_not_resolve_fails_alone(context: &FaultContext) -> Check<Observed> {
    // A label of a name has at most 63 bytes, so that no name server is asked.
    let name = format!("{}.invalid:1", "x".repeat(64));
    let faulty = fetch_beside(context, |fetch| fetch.word(&name))?;
    expect_all(&faulty, 1, "connection_failed")?;
    Ok(Observed::that("connection failed")
        .and("the poems beside it arrived")
        .and("status 1"))
}
