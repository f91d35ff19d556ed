//! Clients of a proxy that wait for one fetch (S9): they share it, leave it, and the last to leave cancels it.

use std::net::SocketAddr;

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure, equal};
use crate::fake_servers::{FakeServer, Listener, ServesByteByByte};
use crate::peers::{HalfCloses, ResetsAtOnce};
use crate::running::RunningServer;
use crate::wire::{NON_ASCII, text};

cases! { Proxy:
    #[smoke] clients_that_miss_at_once_share_one_fetch [S9] needs [Counters],
    a_client_that_joins_during_the_fetch_shares_it [S9] needs [Counters],
    nothing_is_sent_before_the_fetch_is_complete [S9] needs [Counters],
    a_client_that_leaves_by_fin_does_not_disturb_the_others [S9 S19] needs [Counters],
    a_client_that_leaves_by_a_reset_does_not_disturb_the_others [S9 S19] needs [Counters],
    the_first_client_to_come_may_leave [S9] needs [Counters],
    the_last_client_to_leave_by_fin_cancels_the_fetch [S9] needs [Counters],
    the_last_client_to_leave_by_a_reset_cancels_the_fetch [S9] needs [Counters],
    a_client_that_comes_after_a_cancelled_fetch_starts_a_new_one [S9] needs [Counters],
    a_client_that_sends_fin_at_once_leaves_without_a_byte [S9] needs [Counters],
    clients_that_come_and_go_leave_the_others_whole_poems [S9 S19] needs [Counters],
    what_a_waiting_client_sends_is_discarded [S9 S1] needs [Counters],
    waiting_clients_count_toward_the_limit [S9 S16] needs [Counters Limits],
    a_waiting_client_has_no_timeout [S9 S18] needs [Counters Limits],
    a_thousand_clients_share_one_fetch [S9 S16] needs [Counters ManyConnections],
    a_server_of_two_threads_makes_one_fetch [S9] needs [Counters Threads],
}

/// Connects `count` clients, and waits until all of them wait for the fetch.
pub(super) fn waiting(server: &RunningServer, count: u64) -> Check<Vec<Connection>> {
    let before = server.counts()?.in_flight;
    let clients = (0..count).map(|_| server.connect()).collect::<Check<_>>()?;
    server.wait_until(&format!("{count} clients that wait"), |counts| {
        counts.in_flight == before + count
    })?;
    Ok(clients)
}

/// Starts a proxy of `upstream` with `count` waiting clients; returns the connection of their fetch too.
pub(super) fn fetching(
    context: &Context,
    upstream: &Listener,
    count: u64,
) -> Check<(RunningServer, Vec<Connection>, Connection)> {
    let server = context.proxy(upstream.address()).start()?;
    let clients = waiting(&server, count)?;
    let fetch = upstream.accept()?;
    Ok((server, clients, fetch))
}

/// Serves `poem` on the connection of a fetch, to its end.
pub(super) fn serve(mut fetch: Connection, poem: &str) -> Check {
    fetch.send(poem.as_bytes())?;
    fetch.half_close()?;
    fetch.expect_closed().map(drop)
}

pub(super) fn expect_poem(clients: &mut [Connection], poem: &str) -> Check {
    let mut clients = clients.iter_mut();
    clients.try_for_each(|client| client.expect_last("the poem", poem.as_bytes()))
}

fn clients_that_miss_at_once_share_one_fetch(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 20)?;
    serve(fetch, NON_ASCII)?;
    expect_poem(&mut clients, NON_ASCII)?;
    drop(clients);
    upstream.expect_no_client()?;
    let counts = server.settled(20)?;
    equal("fetches", &counts.fetches.begun, &1)?;
    equal("poems served", &counts.answered, &20)
}

fn a_client_that_joins_during_the_fetch_shares_it(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 1)?;
    fetch.send(b"the first half, ")?;
    clients.extend(waiting(&server, 2)?);
    serve(fetch, "the second half")?;
    expect_poem(&mut clients, "the first half, the second half")?;
    upstream.expect_no_client()
}

fn nothing_is_sent_before_the_fetch_is_complete(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 2)?;
    fetch.send(text(200_000).as_bytes())?;
    clients
        .iter_mut()
        .try_for_each(Connection::expect_silence)?;
    equal("bytes written", &server.counts()?.bytes_out, &0)?;
    serve(fetch, "")?;
    expect_poem(&mut clients, &text(200_000))
}

/// How a waiting client leaves.
type Leave = fn(Connection) -> Check;

const BY_RESET: Leave = Connection::reset;
/// Sends FIN, and expects a reset without a byte.
const BY_FIN: Leave = |mut client| {
    client.half_close()?;
    client.expect_reset_without_a_byte()
};

/// One of three clients leaves, and the others get their poems. Returns the connections closed as left and as reset.
fn one_leaves(context: &Context, which: usize, leave: Leave) -> Check<(u64, u64)> {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 3)?;
    fetch.send(b"half a ")?;
    leave(clients.remove(which))?;
    server.wait_until("one client gone", |counts| counts.open == 2)?;
    serve(fetch, "poem")?;
    expect_poem(&mut clients, "half a poem")?;
    drop(clients);
    let counts = server.settled(3)?;
    let actual = (counts.answered, counts.failed, counts.fetches.cached);
    equal("poems served, failed, cached", &actual, &(2, 1, 1))?;
    Ok((counts.closed.left, counts.closed.reset))
}

fn a_client_that_leaves_by_fin_does_not_disturb_the_others(context: &Context) -> Check {
    let ends = one_leaves(context, 1, BY_FIN)?;
    equal("closed as left and as reset", &ends, &(1, 0))
}

fn a_client_that_leaves_by_a_reset_does_not_disturb_the_others(context: &Context) -> Check {
    let ends = one_leaves(context, 1, BY_RESET)?;
    equal("closed as left and as reset", &ends, &(0, 1))
}

fn the_first_client_to_come_may_leave(context: &Context) -> Check {
    one_leaves(context, 0, BY_FIN)?;
    one_leaves(context, 0, BY_RESET).map(drop)
}

/// Three clients leave one after another: the last closes the connection to the upstream server, which has not finished.
fn all_leave(context: &Context, leave: Leave) -> Check {
    let upstream = Listener::new()?;
    let (server, clients, mut fetch) = fetching(context, &upstream, 3)?;
    fetch.send(b"half a ")?;
    for (gone, client) in clients.into_iter().enumerate() {
        equal("cancelled fetches", &server.counts()?.fetches.cancelled, &0)?;
        leave(client)?;
        let left = 2 - gone as u64;
        server.wait_until("one client fewer", |counts| counts.open == left)?;
    }
    fetch.expect_closed()?;
    let counts = server.wait_until("a cancelled fetch", |counts| counts.fetches.cancelled == 1)?;
    equal("fetches", &counts.fetches.begun, &1)?;
    equal("requests failed", &counts.failed, &3)
}

fn the_last_client_to_leave_by_fin_cancels_the_fetch(context: &Context) -> Check {
    all_leave(context, BY_FIN)
}

fn the_last_client_to_leave_by_a_reset_cancels_the_fetch(context: &Context) -> Check {
    all_leave(context, BY_RESET)
}

fn a_client_that_comes_after_a_cancelled_fetch_starts_a_new_one(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 1)?;
    fetch.send(b"half a ")?;
    BY_FIN(clients.remove(0))?;
    fetch.expect_closed()?;
    let mut clients = waiting(&server, 2)?;
    serve(upstream.accept()?, "a second poem")?;
    expect_poem(&mut clients, "a second poem")?;
    upstream.expect_no_client()?;
    let fetches = server.counts()?.fetches;
    let actual = (fetches.begun, fetches.cancelled, fetches.cached);
    equal("fetches begun, cancelled, cached", &actual, &(2, 1, 1))
}

fn a_client_that_sends_fin_at_once_leaves_without_a_byte(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let server = context.proxy(upstream.address()).start()?;
    let mut client = HalfCloses.send(server.address(), b"")?;
    client.expect_reset_without_a_byte()?;
    let counts = server.settled(1)?;
    let actual = (counts.closed.left, counts.failed, counts.answered);
    equal("left, failed, served", &actual, &(1, 1, 0))
}

fn clients_that_come_and_go_leave_the_others_whole_poems(context: &Context) -> Check {
    let poem = text(300);
    let upstream = FakeServer::start(ServesByteByByte(poem.clone().into()))?;
    // Nothing stays in the cache, so clients come and go during a fetch in every round.
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(std::time::Duration::ZERO).start()?;
    for round in 0..30 {
        let leaving = server.connect()?;
        let mut staying = [server.connect()?];
        match round % 3 {
            0 => leaving.reset()?,
            1 => drop(leaving),
            _ => ResetsAtOnce.run(&server)?,
        }
        expect_poem(&mut staying, &poem)?;
    }
    server.wait_until("every connection closed", |counts| counts.open == 0)?;
    server.wait_until("no fetch under way", |counts| {
        counts.fetches.under_way == 0 && counts.in_flight == 0
    })?;
    Ok(())
}

fn what_a_waiting_client_sends_is_discarded(context: &Context) -> Check {
    const BYTES: u64 = 400_000;
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 1)?;
    clients[0].send(&[b'x'; BYTES as usize])?;
    server.wait_until("every byte read", |counts| counts.bytes_in == BYTES)?;
    serve(fetch, "a poem")?;
    expect_poem(&mut clients, "a poem")
}

fn waiting_clients_count_toward_the_limit(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.limits(|limits| limits.connections_max = 2).start()?;
    let mut clients = waiting(&server, 2)?;
    let mut beyond = [server.connect()?];
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    serve(upstream.accept()?, "a poem")?;
    expect_poem(&mut clients, "a poem")?;
    drop(clients);
    expect_poem(&mut beyond, "a poem")
}

fn a_waiting_client_has_no_timeout(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address()).limits(|limits| {
        limits.request_deadline = std::time::Duration::from_millis(20);
        limits.write_timeout = std::time::Duration::from_millis(20);
        limits.linger_timeout = std::time::Duration::from_millis(20);
    });
    let server = setup.start()?;
    let mut clients = waiting(&server, 1)?;
    clients[0].expect_silence()?;
    serve(upstream.accept()?, "a poem")?;
    expect_poem(&mut clients, "a poem")
}

fn a_thousand_clients_share_one_fetch(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 1_000)?;
    // One in ten leaves, in both ways.
    for (number, client) in clients.drain(..100).enumerate() {
        match number % 2 {
            0 => client.reset()?,
            _ => drop(client),
        }
    }
    server.wait_until("a hundred clients gone", |counts| counts.open == 900)?;
    serve(fetch, &text(1_500))?;
    expect_poem(&mut clients, &text(1_500))?;
    drop(clients);
    upstream.expect_no_client()?;
    let counts = server.settled(1_000)?;
    let actual = (counts.answered, counts.failed, counts.fetches.begun);
    equal("poems served, failed, fetches", &actual, &(900, 100, 1))
}

fn a_server_of_two_threads_makes_one_fetch(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let server = context.proxy(upstream.address()).threads(2).start()?;
    let mut clients = waiting(&server, 40)?;
    let fetch = upstream.accept()?;
    // A second fetch would have begun by now, since each thread has clients that wait.
    equal("fetches", &server.counts()?.fetches.begun, &1)?;
    serve(fetch, &text(5_000))?;
    expect_poem(&mut clients, &text(5_000))?;
    let mut later = connect(server.address(), 40)?;
    expect_poem(&mut later, &text(5_000))?;
    upstream.expect_no_client()?;
    equal("fetches", &server.counts()?.fetches.begun, &1)
}

fn connect(address: SocketAddr, count: usize) -> Check<Vec<Connection>> {
    (0..count)
        .map(|_| Connection::open(address))
        .collect::<Result<_, Failure>>()
}
