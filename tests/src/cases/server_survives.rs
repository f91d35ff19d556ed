//! Resets (S19) and panics (S20) end one connection of a transform server and nothing else.

use poetry::{CloseReason, Kind};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::peers::{ClosesAtOnce, ClosesMidFrame, HalfCloses, LeavesUnreadInput, NeverReads};
use crate::peers::{PipelinesMany, ResetsAtOnce, ResetsMidRequest, SendsGarbage, StallsMidRequest};
use crate::running::RunningServer;
use crate::wire::{netstring, request, text};

cases! { TransformServer:
    a_reset_mid_request_ends_only_its_connection [S19] needs [Counters KeepAlive],
    resets_before_the_first_read_leave_other_connections_alone [S19] needs [Counters],
    a_reset_fails_the_requests_without_a_delivered_reply [S19 S23] needs [Counters KeepAlive],
    a_reset_before_the_whole_reply_is_written_fails_the_request [S19 S23] needs [Counters Limits],
    a_reset_during_the_lingering_close_ends_it [S19 S7] needs [Counters],
    a_crowd_of_hostile_peers_leaves_other_connections_alone [S19 S18] needs [Counters KeepAlive],
    a_panic_ends_only_its_connection [S20] needs [Lab KeepAlive Counters],
    replies_before_a_panic_are_delivered [S20 S5] needs [Lab KeepAlive Counters],
    a_panic_is_reported_once_with_its_message [S20] needs [Lab Events],
    a_server_still_answers_after_a_hundred_panics [S20] needs [Lab Counters],
    a_panic_ends_neither_of_two_threads [S20] needs [Lab Threads KeepAlive Counters],
    a_slow_transform_is_answered [S20] needs [Lab],
}

/// Expects that a new connection is answered.
fn expect_still_serves(server: &RunningServer) -> Check {
    let mut client = server.connect()?;
    client.send(&request("shout", "still there"))?;
    client.expect_reply("STILL THERE")
}

fn a_reset_mid_request_ends_only_its_connection(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut other = server.connect()?;
    other.send(b"10:sho")?;
    server.wait_until("half a request of the other client", |counts| {
        counts.bytes_in == 6
    })?;
    ResetsMidRequest.run(&server, b"10:shout")?;
    let counts = server.wait_until("a reset", |counts| counts.closed.reset == 1)?;
    equal("complete requests", &counts.requests, &0)?;
    other.send(b"ut.ahoy,")?;
    other.expect_reply("AHOY")?;
    expect_still_serves(&server)
}

fn resets_before_the_first_read_leave_other_connections_alone(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    for _ in 0..200 {
        ResetsAtOnce.run(&server)?;
    }
    expect_still_serves(&server)?;
    // A kernel may drop a reset connection from the backlog; every accepted one must be closed.
    let counts = server.wait_until("no connection open", |counts| {
        counts.answered == 1 && counts.open == 0
    })?;
    let ends = counts.closed.reset + counts.closed.done;
    equal(
        "connections closed as reset or done",
        &ends,
        &counts.accepted,
    )
}

fn a_reset_fails_the_requests_without_a_delivered_reply(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let client = NeverReads.run(server.address())?;
    let request = request("shout", &text(1_000));
    let sending = PipelinesMany::begin(&client, &request, NeverReads::BYTES / request.len())?;
    server.wait_until_blocked()?;
    sending.reset(client)?;
    let counts = server.settled(1)?;
    equal("connections closed as reset", &counts.closed.reset, &1)?;
    equal(
        "requests answered or failed",
        &(counts.answered + counts.failed),
        &counts.requests,
    )?;
    expect_still_serves(&server)
}

fn a_reset_before_the_whole_reply_is_written_fails_the_request(context: &Context) -> Check {
    let set_up = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 2 * NeverReads::BYTES);
    let server = set_up.start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(&request("shout", &text(NeverReads::BYTES)))?;
    // The kernel holds only a part of the reply, so the request cannot count as answered before the reset.
    server.wait_until("the request in flight", |counts| counts.in_flight == 1)?;
    client.reset()?;
    let counts = server.settled(1)?;
    let actual = (counts.closed.reset, counts.failed, counts.answered);
    equal("closed as reset, failed, answered", &actual, &(1, 1, 0))
}

fn a_reset_during_the_lingering_close_ends_it(context: &Context) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| limits.linger_timeout *= 100)
        .start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "ahoy"))?;
    client.expect_last("the reply", b"4:AHOY,")?;
    client.reset()?;
    let counts = server.settled(1)?;
    equal("answers", &counts.answered, &1)
}

fn a_crowd_of_hostile_peers_leaves_other_connections_alone(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let address = server.address();
    let whole = request("shout", "ahoy");
    let mut good = server.connect()?;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        ClosesAtOnce.run(address)?;
        ResetsAtOnce.run(&server)?;
        crowd.push(SendsGarbage.send(address)?);
        crowd.push(StallsMidRequest.run(address, b"99999:shout.")?);
        crowd.push(ClosesMidFrame.send(address, &whole, &whole)?);
        crowd.push(LeavesUnreadInput.send(address, &netstring("none"))?);
        crowd.push(HalfCloses.send(address, &whole)?);
        good.send(&whole)?;
        good.expect_reply("AHOY")?;
    }
    drop(crowd);
    good.half_close()?;
    good.expect_fin()?;
    server.wait_until("every connection closed", |counts| {
        counts.open == 0 && counts.in_flight == 0
    })?;
    expect_still_serves(&server)
}

fn a_panic_ends_only_its_connection(context: &Context) -> Check {
    let server = context.keep_alive().lab().start()?;
    let mut other = server.connect()?;
    other.send(b"10:sho")?;
    let mut client = server.connect()?;
    client.send(&request("crash", "x"))?;
    client.expect_closed()?;
    drop(client);
    other.send(b"ut.ahoy,")?;
    other.expect_reply("AHOY")?;
    expect_still_serves(&server)?;
    let counts = server.wait_until("a panic", |counts| counts.closed.panic == 1)?;
    equal("requests failed", &counts.failed, &1)
}

fn replies_before_a_panic_are_delivered(context: &Context) -> Check {
    let server = context.keep_alive().lab().start()?;
    let mut client = server.connect()?;
    let requests = [
        request("shout", "one"),
        request("crash", "x"),
        request("shout", "two"),
    ];
    client.send(&requests.concat())?;
    let (bytes, _) = client.receive_to_end()?;
    same_bytes("the replies before the close", &bytes, b"3:ONE,")?;
    drop(client);
    let counts = server.settled(1)?;
    let actual = (counts.requests, counts.answered, counts.failed);
    equal("requests, answered, failed", &actual, &(2, 1, 1))
}

fn a_panic_is_reported_once_with_its_message(context: &Context) -> Check {
    let server = context.one_shot().lab().start()?;
    let mut client = server.connect()?;
    client.send(&request("crash", "x"))?;
    client.expect_closed()?;
    drop(client);
    let closed = Kind::Closed(CloseReason::Panic);
    let events = server
        .journal()
        .wait_for("a connection closed by a panic", |events| {
            events.iter().any(|event| event.kind == closed)
        })?;
    let messages: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Panicked(message) => Some(message.as_str()),
            _ => None,
        })
        .collect();
    equal(
        "the reported panics",
        &messages,
        &vec!["the crash transform was requested"],
    )
}

fn a_server_still_answers_after_a_hundred_panics(context: &Context) -> Check {
    let server = context.one_shot().lab().start()?;
    for _ in 0..100 {
        let mut client = server.connect()?;
        client.send(&request("crash", "x"))?;
        client.expect_closed()?;
    }
    expect_still_serves(&server)?;
    let counts = server.settled(101)?;
    equal("connections closed by a panic", &counts.closed.panic, &100)
}

fn a_panic_ends_neither_of_two_threads(context: &Context) -> Check {
    let server = context.keep_alive().lab().threads(2).start()?;
    for _ in 0..4 {
        let mut client = server.connect()?;
        client.send(&request("crash", "x"))?;
        client.expect_closed()?;
    }
    // Four more requests, so that each of the two threads serves some.
    (0..4).try_for_each(|_| expect_still_serves(&server))?;
    let counts = server.settled(8)?;
    ensure(counts.closed.panic == 4 && counts.answered == 4, || {
        format!("expected 4 panics and 4 answers, got {counts:?}")
    })
}

fn a_slow_transform_is_answered(context: &Context) -> Check {
    let server = context.one_shot().lab().start()?;
    let mut client = server.connect()?;
    client.send(&request("burn", "Ahoy"))?;
    client.expect_last("the reply", b"4:Ahoy,")
}
