//! Stopping a framed server (S21): no new connections, idle ones closed at once, requests in flight finished or,
//! after the grace, cut and counted.

use std::time::Duration;

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::peers::NeverReads;
use crate::running::{RunningServer, wait_until_refused};
use crate::wire::{netstring, text};

cases! { TransformServer LibraryServer:
    an_idle_server_stops_and_refuses_connections [S21] needs [Signals],
    idle_connections_are_closed_at_once_with_fin [S21] needs [Signals KeepAlive],
    a_partly_read_request_is_finished [S21] needs [Signals Counters KeepAlive],
    keep_alive_ends_after_the_request_in_flight [S21] needs [Signals Counters KeepAlive],
    an_incomplete_request_is_cut_after_the_grace [S21] needs [Signals Counters],
    an_unwritten_reply_is_finished [S21] needs [Signals Counters Limits],
    an_unread_reply_is_cut_after_the_grace_and_counted_as_failed [S21 S23] needs [Signals Counters Limits],
    a_lingering_close_is_finished [S21 S7] needs [Signals Counters Limits],
    a_lingering_close_is_cut_after_the_grace [S21 S7] needs [Signals Counters Limits],
    a_connection_in_the_backlog_is_not_served_after_a_stop [S21 S16] needs [Signals Counters Limits KeepAlive],
    the_address_is_free_after_a_stop [S21] needs [Signals],
    dropping_a_server_ends_it_without_grace [S21] needs [Signals Counters KeepAlive],
    a_server_of_two_threads_stops_both [S21] needs [Signals Threads Counters KeepAlive],
}

/// Longer than a case runs: a server that waits for it needlessly fails its case.
const LONG: Duration = Duration::from_secs(600);
/// The bytes of the first half of a request.
const HALF: usize = 4;
const SHORT: Duration = Duration::from_millis(200);

/// An idle connection. Once it is closed, the shutdown has begun.
fn canary(server: &RunningServer) -> Check<Connection> {
    let canary = server.connect()?;
    server.wait_until("the canary accepted", |counts| counts.open > 0)?;
    Ok(canary)
}

fn an_idle_server_stops_and_refuses_connections(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let address = server.address();
    server.stop(LONG)?.expect(0, 0)?;
    wait_until_refused(address)
}

fn idle_connections_are_closed_at_once_with_fin(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context.keep_alive().start()?;
    let mut used = server.connect()?;
    used.send(&ahoy)?;
    used.expect_reply("AHOY")?;
    let mut unused = server.connect()?;
    let mut last = server.connect()?;
    last.send(&ahoy)?;
    last.expect_reply("AHOY")?;
    let stopping = server.begin_stop(LONG);
    used.expect_fin()?;
    unused.expect_fin()?;
    last.expect_fin()?;
    stopping.wait_until_refused()?;
    let stopped = stopping.finish()?;
    stopped.expect(0, 0)?;
    match &stopped.counts {
        Some(counts) => equal("connections closed as done", &counts.closed.done, &3),
        None => Ok(()),
    }
}

fn a_partly_read_request_is_finished(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let (head, tail) = ahoy.split_at(HALF);
    let server = context.keep_alive().start()?;
    let mut canary = canary(&server)?;
    let mut client = server.connect()?;
    client.send(head)?;
    server.wait_until("half a request", |counts| counts.bytes_in == HALF as u64)?;
    let stopping = server.begin_stop(LONG);
    canary.expect_fin()?;
    client.expect_silence()?;
    client.send(tail)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    drop(client);
    let stopped = stopping.finish()?;
    stopped.expect(1, 0)?;
    equal(
        "connections closed as done",
        &stopped.counts()?.closed.done,
        &2,
    )
}

fn keep_alive_ends_after_the_request_in_flight(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let (head, tail) = ahoy.split_at(HALF);
    let server = context.keep_alive().start()?;
    let mut canary = canary(&server)?;
    let mut client = server.connect()?;
    client.send(head)?;
    server.wait_until("half a request", |counts| counts.bytes_in == HALF as u64)?;
    let stopping = server.begin_stop(LONG);
    canary.expect_fin()?;
    client.send(tail)?;
    client.expect_last("the reply, and the end of keep-alive", b"4:AHOY,")?;
    // A request sent now is too late; it must not cause a reset either.
    drop(client.try_send(&ahoy));
    drop(client);
    stopping.finish()?.expect(1, 0)
}

fn an_incomplete_request_is_cut_after_the_grace(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let (head, _) = ahoy.split_at(HALF);
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(head)?;
    server.wait_until("half a request", |counts| counts.bytes_in == HALF as u64)?;
    let stopped = server.stop(SHORT)?;
    client.expect_closed()?;
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    equal(
        "connections cut and requests",
        &(counts.closed.cut, counts.requests),
        &(1, 0),
    )
}

/// A server, a client that does not read its reply, and that reply: too long for the kernel's buffers.
pub(super) fn with_an_unwritten_reply(
    context: &Context,
) -> Check<(RunningServer, Connection, Vec<u8>)> {
    let poem = text(NeverReads::BYTES);
    let request = context.request(&poem);
    let set_up = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 2 * NeverReads::BYTES);
    let server = set_up.start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(&request)?;
    server.wait_until("a request in flight", |counts| counts.in_flight == 1)?;
    client.wait_readable()?;
    Ok((server, client, netstring(poem.to_uppercase())))
}

fn an_unwritten_reply_is_finished(context: &Context) -> Check {
    let (server, mut client, reply) = with_an_unwritten_reply(context)?;
    let mut canary = server.connect()?;
    server.wait_until("the canary accepted", |counts| counts.open == 2)?;
    let stopping = server.begin_stop(LONG);
    canary.expect_fin()?;
    client.expect_last("the reply", &reply)?;
    drop(client);
    let stopped = stopping.finish()?;
    stopped.expect(1, 0)?;
    equal("answers", &stopped.counts()?.answered, &1)
}

fn an_unread_reply_is_cut_after_the_grace_and_counted_as_failed(context: &Context) -> Check {
    let (server, client, _) = with_an_unwritten_reply(context)?;
    let stopped = server.stop(SHORT)?;
    drop(client);
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    equal(
        "connections cut and requests failed",
        &(counts.closed.cut, counts.failed),
        &(1, 1),
    )
}

/// A server with an endless linger timeout, and a client that has its reply and does not close.
fn with_a_lingering_close(context: &Context) -> Check<(RunningServer, Connection)> {
    let ahoy = context.request("ahoy");
    let server = context
        .one_shot()
        .limits(|limits| limits.linger_timeout = LONG)
        .start()?;
    let mut client = server.connect()?;
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    Ok((server, client))
}

fn a_lingering_close_is_finished(context: &Context) -> Check {
    let (server, client) = with_a_lingering_close(context)?;
    let mut canary = server.connect()?;
    server.wait_until("the canary accepted", |counts| counts.open == 2)?;
    let stopping = server.begin_stop(LONG);
    canary.expect_fin()?;
    drop(client);
    let stopped = stopping.finish()?;
    stopped.expect(1, 0)?;
    equal(
        "connections closed as done",
        &stopped.counts()?.closed.done,
        &2,
    )
}

fn a_lingering_close_is_cut_after_the_grace(context: &Context) -> Check {
    let (server, client) = with_a_lingering_close(context)?;
    let stopped = server.stop(SHORT)?;
    // Nothing is owed, so the connection is closed, not reset.
    client.expect_no_reset()?;
    stopped.expect(0, 1)?;
    equal("answers", &stopped.counts()?.answered, &1)
}

fn a_connection_in_the_backlog_is_not_served_after_a_stop(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context
        .keep_alive()
        .limits(|limits| limits.connections_max = 1)
        .start()?;
    let mut served = canary(&server)?;
    let mut waiting = server.connect()?;
    waiting.send(&ahoy)?;
    let stopping = server.begin_stop(LONG);
    served.expect_fin()?;
    waiting.expect_closed()?;
    let stopped = stopping.finish()?;
    stopped.expect(0, 0)?;
    equal("requests", &stopped.counts()?.requests, &0)
}

fn the_address_is_free_after_a_stop(context: &Context) -> Check {
    let (one, two) = (context.request("one"), context.request("two"));
    let server = context.one_shot().start()?;
    let address = server.address();
    let mut client = server.connect()?;
    client.send(&one)?;
    client.expect_last("the reply", b"3:ONE,")?;
    drop(client);
    equal(
        "whether any connection was cut",
        &server.stop(LONG)?.any_cut,
        &false,
    )?;
    let again = context.one_shot().at(address).start()?;
    let mut client = again.connect()?;
    client.send(&two)?;
    client.expect_last("the reply of the second server", b"3:TWO,")
}

fn dropping_a_server_ends_it_without_grace(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let (head, _) = ahoy.split_at(HALF);
    let server = context.keep_alive().start()?;
    let address = server.address();
    let (mut idle, mut stalled) = (canary(&server)?, server.connect()?);
    stalled.send(head)?;
    server.wait_until("half a request", |counts| counts.bytes_in == HALF as u64)?;
    drop(server);
    idle.expect_closed()?;
    stalled.expect_closed()?;
    wait_until_refused(address)
}

fn a_server_of_two_threads_stops_both(context: &Context) -> Check {
    const CLIENTS: u64 = 10;
    let ahoy = context.request("ahoy");
    let (head, tail) = ahoy.split_at(HALF);
    let server = context.keep_alive().threads(2).start()?;
    let (mut busy, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let mut client = server.connect()?;
        client.send(head)?;
        busy.push(client);
        idle.push(server.connect()?);
    }
    let all = |counts: &poetry::Counts| {
        counts.bytes_in == HALF as u64 * CLIENTS && counts.open == 2 * CLIENTS
    };
    server.wait_until("ten half requests", all)?;
    let stopping = server.begin_stop(LONG);
    idle.iter_mut().try_for_each(Connection::expect_fin)?;
    for mut client in busy {
        client.send(tail)?;
        client.expect_last("the reply", b"4:AHOY,")?;
    }
    let stopped = stopping.finish()?;
    // A closed idle connection shows only that its own thread is stopping. So it is not known how many requests were in
    // flight when the other thread began to stop.
    equal("whether any connection was cut", &stopped.any_cut, &false)?;
    equal(
        "connections closed as done",
        &stopped.counts()?.closed.done,
        &(2 * CLIENTS),
    )
}
