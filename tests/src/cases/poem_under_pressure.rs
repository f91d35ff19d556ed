//! The poem server under pressure: many clients, clients that do not read, reset or never close, limits, shutdown and
//! counts (S7, S16, S18, S19, S21, S23).

use std::thread;
use std::time::Duration;

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure, equal};
use crate::peers::{NeverReads, ResetsAtOnce, ResetsMidPoem, SendsForever};
use crate::running::wait_until_refused;
use crate::wire::text;

cases! { PoemServer:
    a_thousand_clients_are_served_concurrently [S16] needs [ManyConnections],
    connections_beyond_the_limit_wait [S16] needs [Counters Limits],
    a_client_that_stays_after_its_poem_counts_toward_the_limit [S16 S7] needs [Counters Limits],
    a_client_that_stays_is_closed_after_the_linger_timeout [S7] needs [Counters Limits],
    an_endless_sender_is_closed_after_the_linger_bytes [S7] needs [Counters Limits],
    a_client_that_never_reads_is_closed_by_the_write_timeout [S18] needs [Counters Limits],
    a_client_that_reads_slowly_gets_the_whole_poem [S18] needs [Limits],
    a_slow_poem_is_not_idle [S18] needs [Limits],
    a_client_that_never_reads_leaves_other_connections_alone [S18],
    a_reset_mid_poem_ends_only_its_connection [S19] needs [Counters],
    a_reset_during_a_slow_poem_is_noticed_at_once [S19] needs [Counters],
    resets_before_the_first_write_leave_other_connections_alone [S19],
    an_idle_poem_server_stops_and_refuses_connections [S21] needs [Signals],
    a_poem_in_flight_is_finished_at_shutdown [S21] needs [Signals],
    a_poem_that_outlasts_the_grace_is_cut_and_counted [S21 S23] needs [Signals Counters],
    dropping_a_poem_server_ends_its_poems [S21] needs [Counters],
    poems_and_bytes_are_counted_exactly [S23] needs [Counters],
    a_poem_being_served_counts_as_in_flight [S23] needs [Counters],
}

/// Longer than any case runs.
const NEVER: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(200);

fn a_thousand_clients_are_served_concurrently(context: &Context) -> Check {
    let server = context.poem(&text(1_500)).start()?;
    let mut clients = (0..1_000)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    clients
        .iter_mut()
        .try_for_each(|client| client.expect_last("the poem", text(1_500).as_bytes()))
}

fn connections_beyond_the_limit_wait(context: &Context) -> Check {
    let set_up = context
        .slow_poem("first.", 3, NEVER)
        .limits(|limits| limits.connections_max = 2);
    let server = set_up.start()?;
    let (mut one, mut two, mut waiting) = (server.connect()?, server.connect()?, server.connect()?);
    one.receive(3)?;
    two.receive(3)?;
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    one.reset()?;
    waiting.receive(3).map(drop)
}

fn a_client_that_stays_after_its_poem_counts_toward_the_limit(context: &Context) -> Check {
    let set_up = context.poem("a poem").limits(|limits| {
        limits.connections_max = 1;
        limits.linger_timeout = NEVER;
    });
    let server = set_up.start()?;
    let mut lingering = server.connect()?;
    lingering.expect_last("the poem", b"a poem")?;
    let mut waiting = server.connect()?;
    server.expect_never("a second connection", |counts| counts.accepted > 1)?;
    drop(lingering);
    waiting.expect_last("the poem of the waiting client", b"a poem")
}

fn a_client_that_stays_is_closed_after_the_linger_timeout(context: &Context) -> Check {
    let server = context
        .poem("a poem")
        .limits(|limits| limits.linger_timeout = SHORT)
        .start()?;
    let mut client = server.connect()?;
    client.expect_last("the poem", b"a poem")?;
    let counts = server.settled(1)?;
    drop(client);
    equal(
        "poems served and connections done",
        &(counts.answered, counts.closed.done),
        &(1, 1),
    )
}

fn an_endless_sender_is_closed_after_the_linger_bytes(context: &Context) -> Check {
    let set_up = context.poem("a poem").limits(|limits| {
        limits.linger_timeout = NEVER;
        limits.linger_bytes_max = 100_000;
    });
    let server = set_up.start()?;
    let mut client = server.connect()?;
    client.expect_last("the poem", b"a poem")?;
    let sent = SendsForever.until_closed(&mut client);
    sent.ok_or(Failure::broken(
        "expected the server to stop draining, but it took every byte",
    ))?;
    server.settled(1).map(drop)
}

fn a_client_that_never_reads_is_closed_by_the_write_timeout(context: &Context) -> Check {
    let poem = text(NeverReads::BYTES);
    let server = context
        .poem(&poem)
        .limits(|limits| limits.write_timeout = SHORT)
        .start()?;
    let client = NeverReads.run(server.address())?;
    let counts = server.settled(1)?;
    drop(client);
    let actual = (counts.closed.write, counts.answered, counts.failed);
    equal(
        "closed by the write timeout, served, failed",
        &actual,
        &(1, 0, 1),
    )
}

fn a_client_that_reads_slowly_gets_the_whole_poem(context: &Context) -> Check {
    // Each step of the read is far shorter than the write timeout; all together are longer.
    let poem = text(32 << 20);
    let timeout = Duration::from_millis(1_500);
    let server = context
        .poem(&poem)
        .limits(|limits| limits.write_timeout = timeout)
        .start()?;
    let mut client = server.connect()?;
    for part in poem.as_bytes().chunks(1 << 20) {
        // A pause that makes the client slow; it waits for nothing.
        thread::sleep(timeout / 25);
        crate::failure::same_bytes("a part of the poem", &client.receive(part.len())?, part)?;
    }
    client.expect_fin()
}

fn a_slow_poem_is_not_idle(context: &Context) -> Check {
    let set_up = context
        .slow_poem(&text(30), 10, Duration::from_millis(150))
        .limits(|limits| {
            limits.idle_timeout = Duration::from_millis(40);
            limits.request_deadline = Duration::from_millis(40);
            limits.write_timeout = Duration::from_millis(100);
        });
    set_up
        .start()?
        .connect()?
        .expect_last("the poem", text(30).as_bytes())
}

fn a_client_that_never_reads_leaves_other_connections_alone(context: &Context) -> Check {
    let poem = text(NeverReads::BYTES);
    let server = context.poem(&poem).start()?;
    let greedy = (0..5)
        .map(|_| NeverReads.run(server.address()))
        .collect::<Check<Vec<_>>>()?;
    server
        .connect()?
        .expect_last("the poem of another client", poem.as_bytes())?;
    drop(greedy);
    Ok(())
}

fn a_reset_mid_poem_ends_only_its_connection(context: &Context) -> Check {
    let poem = text(NeverReads::BYTES);
    let server = context.poem(&poem).start()?;
    ResetsMidPoem.run(&server, 1_000)?;
    let counts = server.settled(1)?;
    equal(
        "closed as reset, failed",
        &(counts.closed.reset, counts.failed),
        &(1, 1),
    )?;
    server
        .connect()?
        .expect_last("the poem of the next client", poem.as_bytes())
}

fn a_reset_during_a_slow_poem_is_noticed_at_once(context: &Context) -> Check {
    // The next write, which would also notice, is an hour away: the server must watch the read side.
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    ResetsMidPoem.run(&server, 11)?;
    let counts = server.settled(1)?;
    equal(
        "closed as reset, failed",
        &(counts.closed.reset, counts.failed),
        &(1, 1),
    )
}

fn resets_before_the_first_write_leave_other_connections_alone(context: &Context) -> Check {
    let server = context.poem(&text(1_500)).start()?;
    for _ in 0..200 {
        ResetsAtOnce.run(&server)?;
    }
    server
        .connect()?
        .expect_last("the poem", text(1_500).as_bytes())
}

fn an_idle_poem_server_stops_and_refuses_connections(context: &Context) -> Check {
    let server = context.poem("a poem").start()?;
    let address = server.address();
    server.stop(NEVER)?.expect(0, 0)?;
    wait_until_refused(address)
}

fn a_poem_in_flight_is_finished_at_shutdown(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(150), 10, Duration::from_millis(100))
        .start()?;
    let mut client = server.connect()?;
    let mut poem = client.receive(10)?;
    let stopping = server.begin_stop(NEVER);
    poem.extend(client.receive_to_fin()?);
    crate::failure::same_bytes("the poem", &poem, text(150).as_bytes())?;
    drop(client);
    stopping.wait_until_refused()?;
    stopping.finish()?.expect(1, 0)
}

fn a_poem_that_outlasts_the_grace_is_cut_and_counted(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let mut client = server.connect()?;
    client.receive(11)?;
    let stopped = server.stop(SHORT)?;
    client.expect_closed()?;
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    equal(
        "connections cut, poems failed",
        &(counts.closed.cut, counts.failed),
        &(1, 1),
    )
}

fn dropping_a_poem_server_ends_its_poems(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let address = server.address();
    let mut client = server.connect()?;
    client.receive(11)?;
    drop(server);
    client.expect_closed()?;
    wait_until_refused(address)
}

fn poems_and_bytes_are_counted_exactly(context: &Context) -> Check {
    let server = context.poem(&text(1_500)).start()?;
    for _ in 0..10 {
        let mut client = Connection::open(server.address())?;
        // The poem and FIN may have arrived already, but the connection stays open until the client closes it.
        client.send(b"seven b")?;
        client.expect_last("the poem", text(1_500).as_bytes())?;
    }
    let counts = server.settled(10)?;
    let actual = (counts.requests, counts.answered, counts.closed.done);
    equal(
        "requests, poems served, connections done",
        &actual,
        &(10, 10, 10),
    )?;
    equal("bytes written", &counts.bytes_out, &15_000)?;
    equal("bytes read", &counts.bytes_in, &70)
}

fn a_poem_being_served_counts_as_in_flight(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let mut client = server.connect()?;
    client.receive(11)?;
    let counts = server.wait_until("a first chunk counted", |counts| counts.bytes_out == 11)?;
    let actual = (
        counts.open,
        counts.requests,
        counts.in_flight,
        counts.answered,
    );
    equal("open, requests, in flight, served", &actual, &(1, 1, 1, 0))
}
