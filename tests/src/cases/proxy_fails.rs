//! Failed fetches of a proxy (S9): never cached, the waiting clients are reset without a byte, and the next client starts a
//! new fetch.

use std::time::Duration;

use poetry::error::Timeout;
use poetry::{FetchFailure, Kind, Limits, Peer, Role as Program};

use super::proxy_shares::{expect_poem, serve, waiting};
use crate::case::cases;
use crate::connection::Connection;
use crate::context::{Context, Setup};
use crate::failure::{Check, equal};
use crate::fake_servers::{Listener, NeverAccepts, Refuses};
use crate::peers::NeverReads;
use crate::running::RunningServer;
use crate::wire::text;

cases! { Proxy:
    #[smoke] a_reset_fetch_is_not_cached [S9] needs [Counters],
    a_fetch_reset_in_the_middle_is_not_cached [S9] needs [Counters],
    #[smoke] an_empty_poem_is_not_cached [S9] needs [Counters],
    an_over_long_poem_is_not_cached [S9 S15] needs [Counters Limits],
    a_poem_that_is_not_utf8_is_not_cached [S9 S12] needs [Counters],
    a_poem_that_ends_inside_a_character_is_not_cached [S9 S12] needs [Counters],
    a_fetch_that_times_out_is_not_cached [S9 S15] needs [Counters Limits],
    a_fetch_that_falls_silent_is_not_cached [S9 S15] needs [Counters Limits],
    a_refused_fetch_resets_its_client [S9] needs [Counters],
    a_fetch_that_is_never_accepted_resets_its_clients [S9 S15] needs [Counters Limits],
    an_upstream_that_does_not_resolve_resets_its_clients [S9 S10] needs [Counters],
    a_failed_fetch_is_reported_once_with_its_failure [S9 S11] needs [Events Counters],
    a_fetch_may_fail_many_times [S9] needs [Counters],
    a_failed_fetch_leaves_earlier_poems_under_way_alone [S9] needs [Counters],
}

const CLIENTS: u64 = 3;

/// Three clients wait for a fetch that `fail` makes fail: they are reset without a byte. The next client starts a new
/// fetch, whose poem is cached.
fn fails(
    context: &Context,
    change: impl FnOnce(&mut Limits),
    fail: impl FnOnce(Connection) -> Check,
) -> Check<RunningServer> {
    let upstream = Listener::new()?;
    let server = context.proxy(upstream.address()).limits(change).start()?;
    let mut clients = waiting(&server, CLIENTS)?;
    fail(upstream.accept()?)?;
    for client in &mut clients {
        client.expect_reset_without_a_byte()?;
    }
    expect_failed(&server, CLIENTS)?;
    upstream.expect_no_client()?;
    let mut clients = waiting(&server, 1)?;
    serve(upstream.accept()?, "a good poem")?;
    expect_poem(&mut clients, "a good poem")?;
    drop(clients);
    expect_poem(&mut [server.connect()?], "a good poem")?;
    equal("poems cached", &server.counts()?.fetches.cached, &1)?;
    Ok(server)
}

/// Expects one failed fetch, for which `clients` connections were closed.
fn expect_failed(server: &RunningServer, clients: u64) -> Check {
    let counts = server.settled(clients)?;
    let fetches = &counts.fetches;
    equal(
        "fetches begun, failed",
        &(fetches.begun, fetches.failed),
        &(1, 1),
    )?;
    let actual = (counts.closed.upstream, counts.failed, counts.bytes_out);
    equal(
        "closed for the upstream, requests failed, bytes written",
        &actual,
        &(clients, clients, 0),
    )
}

fn unchanged(_: &mut Limits) {}

/// Sends `bytes` and FIN.
fn ends_with(bytes: &[u8]) -> impl FnOnce(Connection) -> Check {
    |mut fetch| {
        fetch.send(bytes)?;
        fetch.half_close()?;
        fetch.expect_closed().map(drop)
    }
}

fn a_reset_fetch_is_not_cached(context: &Context) -> Check {
    fails(context, unchanged, Connection::reset).map(drop)
}

fn a_fetch_reset_in_the_middle_is_not_cached(context: &Context) -> Check {
    let fail = |mut fetch: Connection| {
        fetch.send(b"half a ")?;
        fetch.reset()
    };
    fails(context, unchanged, fail).map(drop)
}

fn an_empty_poem_is_not_cached(context: &Context) -> Check {
    fails(context, unchanged, ends_with(b"")).map(drop)
}

fn an_over_long_poem_is_not_cached(context: &Context) -> Check {
    let small = |limits: &mut Limits| limits.poem_bytes_max = 1_000;
    let fail = |mut fetch: Connection| {
        fetch.send(text(1_001).as_bytes())?;
        // The proxy does not wait for the rest.
        fetch.expect_closed().map(drop)
    };
    fails(context, small, fail).map(drop)
}

fn a_poem_that_is_not_utf8_is_not_cached(context: &Context) -> Check {
    fails(context, unchanged, ends_with(b"caf\xe9 noir")).map(drop)
}

fn a_poem_that_ends_inside_a_character_is_not_cached(context: &Context) -> Check {
    fails(context, unchanged, ends_with(b"wave \xf0\x9f\x8c")).map(drop)
}

/// Longer than a busy machine needs to serve the good poem that follows.
const IDLE: Duration = Duration::from_secs(2);

fn a_fetch_that_times_out_is_not_cached(context: &Context) -> Check {
    let short = |limits: &mut Limits| limits.idle_timeout = IDLE;
    fails(context, short, |mut fetch| fetch.expect_closed().map(drop)).map(drop)
}

fn a_fetch_that_falls_silent_is_not_cached(context: &Context) -> Check {
    let short = |limits: &mut Limits| limits.idle_timeout = IDLE;
    let fail = |mut fetch: Connection| {
        fetch.send(b"half a ")?;
        fetch.expect_closed().map(drop)
    };
    fails(context, short, fail).map(drop)
}

/// Connects, and expects a reset without a byte, which may come before the connection is seen to be made.
fn expect_reset_at_once(server: &RunningServer) -> Check {
    match Connection::open_unless_reset(server.address())? {
        Some(mut client) => client.expect_reset_without_a_byte(),
        None => Ok(()),
    }
}

fn a_refused_fetch_resets_its_client(context: &Context) -> Check {
    let refusing = Refuses::new()?;
    let server = context.proxy(refusing.address()).start()?;
    expect_reset_at_once(&server)?;
    expect_failed(&server, 1)?;
    let upstream = refusing.listen()?;
    let mut clients = waiting(&server, 2)?;
    serve(upstream.accept()?, "a good poem")?;
    expect_poem(&mut clients, "a good poem")
}

/// Starts the proxy of an upstream that no fetch can reach, and expects that its clients are reset.
fn expect_unreachable(setup: Setup) -> Check {
    let server = setup.start()?;
    for count in 1..=3 {
        expect_reset_at_once(&server)?;
        let counts = server.settled(count)?;
        let actual = (counts.fetches.failed, counts.closed.upstream);
        equal("fetches failed, closed for it", &actual, &(count, count))?;
    }
    Ok(())
}

fn a_fetch_that_is_never_accepted_resets_its_clients(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    let setup = context.proxy(never.address());
    expect_unreachable(setup.limits(|limits| limits.connect_timeout = Duration::from_millis(100)))
}

fn an_upstream_that_does_not_resolve_resets_its_clients(context: &Context) -> Check {
    expect_unreachable(context.proxy(Peer::unresolved("no.such.name:1", "no such name")))
}

fn a_failed_fetch_is_reported_once_with_its_failure(context: &Context) -> Check {
    let small = |limits: &mut Limits| limits.poem_bytes_max = 1_000;
    let too_long = |mut fetch: Connection| {
        fetch.send(text(1_001).as_bytes())?;
        fetch.expect_closed().map(drop)
    };
    let short = |limits: &mut Limits| limits.idle_timeout = IDLE;
    let silent = |mut fetch: Connection| fetch.expect_closed().map(drop);
    let limit = 1_000;
    let reported = [
        (
            fails(context, unchanged, ends_with(b""))?,
            FetchFailure::Empty,
        ),
        (
            fails(context, small, too_long)?,
            FetchFailure::TooLong { limit },
        ),
        (
            fails(context, unchanged, ends_with(b"caf\xe9"))?,
            FetchFailure::NotUtf8 { at: 3 },
        ),
        (
            fails(context, short, silent)?,
            FetchFailure::TimedOut(Timeout::Idle),
        ),
    ];
    for (server, failure) in reported {
        let events = server.journal().events();
        let failures: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                Kind::Failed(failure) => Some((event.role, event.scene.task, failure.clone())),
                _ => None,
            })
            .collect();
        let once = vec![(Program::PoemClient, 0, failure)];
        equal("the reported failures", &failures, &once)?;
    }
    Ok(())
}

fn a_fetch_may_fail_many_times(context: &Context) -> Check {
    const FAILURES: u64 = 20;
    let upstream = Listener::new()?;
    let server = context.proxy(upstream.address()).start()?;
    for _ in 0..FAILURES {
        let mut clients = waiting(&server, 1)?;
        upstream.accept()?.reset()?;
        clients[0].expect_reset_without_a_byte()?;
        server.wait_until("the client gone", |counts| counts.open == 0)?;
    }
    let mut clients = waiting(&server, 1)?;
    serve(upstream.accept()?, "at last")?;
    expect_poem(&mut clients, "at last")?;
    let fetches = server.counts()?.fetches;
    equal(
        "fetches failed and cached",
        &(fetches.failed, fetches.cached),
        &(FAILURES, 1),
    )
}

fn a_failed_fetch_leaves_earlier_poems_under_way_alone(context: &Context) -> Check {
    let poem = text(NeverReads::BYTES);
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(Duration::ZERO).start()?;
    let mut reading = NeverReads.run(server.address())?;
    serve(upstream.accept()?, &poem)?;
    reading.wait_readable()?;
    let mut clients = waiting(&server, 2)?;
    upstream.accept()?.reset()?;
    for client in &mut clients {
        client.expect_reset_without_a_byte()?;
    }
    reading.expect_last("the poem", poem.as_bytes())
}
