//! A poem that is served at once (S1), by a poem server or from a proxy's cache (S9): every byte, then FIN, to many clients,
//! to clients that do not read, that reset or never close; counts and shutdown (S7, S16, S18, S19, S21, S23).

use std::net::Ipv6Addr;
use std::thread;
use std::time::Duration;

use super::poem_served::needs_ipv6;
use super::server_closes::{MORE_BYTES, send_more};
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure, equal, same_bytes};
use crate::peers::{LeavesUnreadInput, NeverReads, ResetsAtOnce, ResetsMidPoem, SendsForever};
use crate::running::wait_until_refused;
use crate::wire::{NON_ASCII, text};

cases! { PoemServer Proxy:
    #[smoke] sends_the_poem_then_fin [S1],
    #[smoke] a_poem_larger_than_every_buffer_arrives_whole [S1],
    #[smoke] client_input_is_discarded_without_a_reset [S1 S7],
    client_input_after_the_poem_is_discarded [S1 S7] needs [Limits],
    serves_over_ipv6 [S1],
    a_thousand_clients_are_served_concurrently [S16] needs [ManyConnections],
    a_client_that_stays_after_its_poem_counts_toward_the_limit [S16 S7] needs [Counters Limits],
    a_client_that_stays_is_closed_after_the_linger_timeout [S7] needs [Counters Limits],
    an_endless_sender_is_closed_after_the_linger_bytes [S7] needs [Counters Limits],
    a_client_that_never_reads_is_closed_by_the_write_timeout [S18] needs [Counters Limits],
    a_client_that_reads_slowly_gets_the_whole_poem [S18] needs [Limits],
    a_client_that_never_reads_leaves_other_connections_alone [S18],
    a_reset_mid_poem_ends_only_its_connection [S19],
    #[smoke] resets_before_the_first_write_leave_other_connections_alone [S19],
    an_idle_poem_server_stops_and_refuses_connections [S21] needs [Signals],
    poems_and_bytes_are_counted_exactly [S23] needs [Counters],
}

/// Longer than any case runs.
const NEVER: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(200);

fn sends_the_poem_then_fin(context: &Context) -> Check {
    let poem = context.any_poem(text(1_500));
    let server = context.poem(&poem).start()?;
    server.connect()?.expect_last("the poem", poem.as_bytes())
}

fn a_poem_larger_than_every_buffer_arrives_whole(context: &Context) -> Check {
    let poem = text(16 << 20);
    let server = context.poem(&poem).start()?;
    server.connect()?.expect_last("the poem", poem.as_bytes())
}

fn client_input_is_discarded_without_a_reset(context: &Context) -> Check {
    let poem = context.any_poem(text(50_000));
    let server = context.poem(&poem).start()?;
    let mut client = LeavesUnreadInput.send(server.address(), b"GET /poem\r\n")?;
    client.expect_last("the poem", poem.as_bytes())
}

fn client_input_after_the_poem_is_discarded(context: &Context) -> Check {
    let server = context
        .poem("a poem")
        .limits(|limits| {
            limits.linger_timeout = Duration::from_secs(600);
            limits.linger_bytes_max = 2 * MORE_BYTES;
        })
        .start()?;
    let mut client = server.connect()?;
    same_bytes("the poem", &client.receive(6)?, b"a poem")?;
    send_more(&mut client)?;
    client.expect_fin()
}

fn serves_over_ipv6(context: &Context) -> Check {
    needs_ipv6()?;
    let server = context
        .poem(NON_ASCII)
        .at((Ipv6Addr::LOCALHOST, 0).into())
        .start()?;
    server
        .connect()?
        .expect_last("the poem", NON_ASCII.as_bytes())
}

fn a_thousand_clients_are_served_concurrently(context: &Context) -> Check {
    let poem = context.any_poem(text(1_500));
    let server = context.poem(&poem).start()?;
    let mut clients = (0..1_000)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    clients
        .iter_mut()
        .try_for_each(|client| client.expect_last("the poem", poem.as_bytes()))
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
    server.check_counts(1, |counts| {
        let actual = (counts.closed.reset, counts.failed);
        equal("closed as reset, failed", &actual, &(1, 1))
    })?;
    server
        .connect()?
        .expect_last("the poem of the next client", poem.as_bytes())
}

fn resets_before_the_first_write_leave_other_connections_alone(context: &Context) -> Check {
    let poem = context.any_poem(text(1_500));
    let server = context.poem(&poem).start()?;
    for _ in 0..200 {
        ResetsAtOnce.run(&server)?;
    }
    server.connect()?.expect_last("the poem", poem.as_bytes())
}

fn an_idle_poem_server_stops_and_refuses_connections(context: &Context) -> Check {
    let server = context.poem("a poem").start()?;
    let address = server.address();
    server.stop(NEVER)?.expect(0, 0)?;
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
