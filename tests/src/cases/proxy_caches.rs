//! What a proxy caches (S9): a complete poem, for its time to live, shared by every client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::proxy_shares::{expect_poem, serve, waiting};
use crate::WAIT_MAX;
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::fake_servers::{Behaviour, FakeServer, Listener, Serves};
use crate::peers::{HalfCloses, NeverReads};
use crate::wire::text;

cases! { Proxy:
    #[smoke] a_cached_poem_is_served_without_the_upstream [S9],
    #[smoke] a_client_fin_does_not_end_a_cached_poem [S9 S1],
    #[smoke] a_poem_is_fetched_once_for_any_number_of_clients [S9],
    a_poem_exactly_at_the_limit_is_cached [S9 S15] needs [Limits Counters],
    without_time_to_live_every_later_client_starts_a_fetch [S9] needs [Counters],
    clients_that_wait_share_the_poem_of_a_fetch_without_time_to_live [S9] needs [Counters],
    #[smoke] a_poem_is_served_until_its_time_to_live_is_over [S9],
    a_failed_fetch_does_not_bring_an_expired_poem_back [S9] needs [Counters],
    clients_that_never_read_leave_other_connections_alone [S9 S18],
    a_client_that_reads_late_gets_the_poem_of_its_time [S9] needs [Counters],
}

fn a_cached_poem_is_served_without_the_upstream(context: &Context) -> Check {
    let upstream = FakeServer::start(Serves(text(5_000).into()))?;
    let server = context.proxy(upstream.address()).start()?;
    for number in 0..10 {
        let mut client = [server.connect()?];
        expect_poem(&mut client, &text(5_000))?;
        if number == 0 {
            equal("fetches of the upstream", &upstream.accepted(), &1)?;
        }
    }
    drop(upstream);
    for _ in 0..10 {
        expect_poem(&mut [server.connect()?], &text(5_000))?;
    }
    server.check_counts(20, |counts| {
        let actual = (counts.fetches.begun, counts.fetches.cached, counts.answered);
        equal("fetches begun, cached, poems served", &actual, &(1, 1, 20))
    })
}

fn a_client_fin_does_not_end_a_cached_poem(context: &Context) -> Check {
    let poem = text(8 << 20);
    let server = context.poem(&poem).start()?;
    expect_poem(&mut [server.connect()?], &poem)?;
    let mut client = HalfCloses.send(server.address(), b"thank you")?;
    client.expect_last("the poem", poem.as_bytes())
}

fn a_poem_is_fetched_once_for_any_number_of_clients(context: &Context) -> Check {
    let upstream = FakeServer::start(Serves(text(700).into()))?;
    let server = context.proxy(upstream.address()).start()?;
    for _ in 0..300 {
        expect_poem(&mut [server.connect()?], &text(700))?;
    }
    equal("connections of the upstream", &upstream.accepted(), &1)?;
    server.check_counts(300, |counts| equal("fetches", &counts.fetches.begun, &1))
}

fn a_poem_exactly_at_the_limit_is_cached(context: &Context) -> Check {
    let upstream = FakeServer::start(Serves(text(70_000).into()))?;
    let setup = context.proxy(upstream.address());
    let server = setup
        .limits(|limits| limits.poem_bytes_max = 70_000)
        .start()?;
    expect_poem(&mut [server.connect()?], &text(70_000))?;
    equal("poems cached", &server.counts()?.fetches.cached, &1)
}

fn without_time_to_live_every_later_client_starts_a_fetch(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(Duration::ZERO).start()?;
    for poem in ["one", "two", "three"] {
        let mut clients = waiting(&server, 1)?;
        serve(upstream.accept()?, poem)?;
        expect_poem(&mut clients, poem)?;
        drop(clients);
    }
    let fetches = server.settled(3)?.fetches;
    equal(
        "fetches begun and cached",
        &(fetches.begun, fetches.cached),
        &(3, 3),
    )
}

fn clients_that_wait_share_the_poem_of_a_fetch_without_time_to_live(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(Duration::ZERO).start()?;
    let mut clients = waiting(&server, 5)?;
    serve(upstream.accept()?, "one poem")?;
    expect_poem(&mut clients, "one poem")?;
    upstream.expect_no_client()?;
    equal("fetches", &server.counts()?.fetches.begun, &1)
}

/// Serves the number of the connection, counted from 1.
#[derive(Clone, Default)]
struct ServesItsNumber(Arc<AtomicUsize>);

impl Behaviour for ServesItsNumber {
    fn serve(&self, mut connection: Connection) -> Check {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        connection.send(number.to_string().as_bytes())?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

fn a_poem_is_served_until_its_time_to_live_is_over(context: &Context) -> Check {
    const TTL: Duration = Duration::from_millis(400);
    let upstream = FakeServer::start(ServesItsNumber::default())?;
    let server = context.proxy(upstream.address()).ttl(TTL).start()?;
    // The poem arrives later than this, so the second one may not be served earlier than one time to live from here.
    let begun = Instant::now();
    let mut last = 1;
    while last == 1 {
        let bytes = server.connect()?.receive_to_fin()?;
        let elapsed = begun.elapsed();
        last = match bytes.as_slice() {
            b"1" => 1,
            b"2" => 2,
            other => {
                return same_bytes("the poem", other, b"1");
            }
        };
        ensure(last == 1 || elapsed >= TTL, || {
            format!("expected the first poem for {TTL:?}, got the second after {elapsed:?}")
        })?;
        ensure(elapsed < WAIT_MAX, || {
            format!("expected a second fetch after {TTL:?}, got none in {elapsed:?}")
        })?;
    }
    Ok(())
}

fn a_failed_fetch_does_not_bring_an_expired_poem_back(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(Duration::ZERO).start()?;
    let mut clients = waiting(&server, 1)?;
    serve(upstream.accept()?, "the old poem")?;
    expect_poem(&mut clients, "the old poem")?;
    drop(clients);
    server.wait_until("the first client gone", |counts| counts.open == 0)?;
    let mut clients = waiting(&server, 1)?;
    upstream.accept()?.reset()?;
    clients[0].expect_reset_without_a_byte()
}

fn clients_that_never_read_leave_other_connections_alone(context: &Context) -> Check {
    let poem = text(40 << 20);
    let server = context.poem(&poem).start()?;
    // The first waits for the fetch and the others hit the cache.
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let client = NeverReads.run(server.address())?;
        client.wait_readable()?;
        stalled.push(client);
    }
    for _ in 0..2 {
        expect_poem(&mut [server.connect()?], &poem)?;
    }
    Ok(())
}

fn a_client_that_reads_late_gets_the_poem_of_its_time(context: &Context) -> Check {
    let (old, new) = (text(NeverReads::BYTES), "a new poem");
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(Duration::ZERO).start()?;
    let mut late = NeverReads.run(server.address())?;
    serve(upstream.accept()?, &old)?;
    late.wait_readable()?;
    let mut clients = waiting(&server, 1)?;
    serve(upstream.accept()?, new)?;
    expect_poem(&mut clients, new)?;
    late.expect_last("the old poem", old.as_bytes())
}
