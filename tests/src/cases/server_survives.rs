//! What must cost a transform server one connection and nothing else: resets (S19) and panics (S20).

use poetry::{CloseReason, Kind};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::peers::{ClosesAtOnce, ClosesMidFrame, HalfCloses, LeavesUnreadInput, NeverReads};
use crate::peers::{PipelinesMany, ResetsAtOnce, ResetsMidRequest, SendsGarbage, StallsMidRequest};
use crate::running::RunningServer;
use crate::wire::{netstring, request, text};

cases! { TransformServer:
    a_reset_in_mid_request_costs_that_connection_only [S19] needs [Counters KeepAlive],
    resets_before_the_first_read_cost_nothing_else [S19] needs [Counters],
    a_reset_with_replies_owed_fails_them [S19 S23] needs [Counters KeepAlive],
    a_reset_before_the_reply_was_taken_fails_it [S19 S23] needs [Counters Limits],
    a_reset_during_the_lingering_close_ends_it [S19 S7] needs [Counters],
    a_crowd_of_hostile_peers_disturbs_nobody [S19 S18] needs [Counters KeepAlive],
    a_panic_costs_its_connection_only [S20] needs [Lab KeepAlive Counters],
    replies_before_a_panic_are_delivered [S20 S5] needs [Lab KeepAlive Counters],
    a_panic_is_told_once_with_its_message [S20] needs [Lab Events],
    a_hundred_panics_wear_nothing_out [S20] needs [Lab Counters],
    a_panic_ends_no_thread_of_two [S20] needs [Lab Threads KeepAlive Counters],
    a_transform_that_takes_its_time_is_answered [S20] needs [Lab],
}

/// A new connection is answered.
fn still_serves(server: &RunningServer) -> Check {
    let mut client = server.connect()?;
    client.send(&request("shout", "still there"))?;
    client.expect_reply("STILL THERE")
}

fn a_reset_in_mid_request_costs_that_connection_only(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut other = server.connect()?;
    other.send(b"10:sho")?;
    server.wait_until("the other's half", |counts| counts.bytes_in == 6)?;
    ResetsMidRequest.run(&server, b"10:shout")?;
    let counts = server.wait_until("a reset", |counts| counts.closed.reset == 1)?;
    equal("requests, since none was complete", &counts.requests, &0)?;
    other.send(b"ut.ahoy,")?;
    other.expect_reply("AHOY")?;
    still_serves(&server)
}

fn resets_before_the_first_read_cost_nothing_else(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    for _ in 0..200 {
        ResetsAtOnce.run(&server)?;
    }
    still_serves(&server)?;
    // A kernel may take a connection that was reset out of the backlog; those that came must be gone.
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

fn a_reset_with_replies_owed_fails_them(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let client = NeverReads.run(server.address())?;
    let request = request("shout", &text(1_000));
    let sending = PipelinesMany::begin(&client, &request, NeverReads::BYTES / request.len())?;
    server.wait_until_stuck()?;
    sending.reset(client)?;
    let counts = server.settled(1)?;
    equal("connections closed as reset", &counts.closed.reset, &1)?;
    equal(
        "requests answered or failed",
        &(counts.answered + counts.failed),
        &counts.requests,
    )?;
    still_serves(&server)
}

fn a_reset_before_the_reply_was_taken_fails_it(context: &Context) -> Check {
    let set_up = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 2 * NeverReads::BYTES);
    let server = set_up.start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(&request("shout", &text(NeverReads::BYTES)))?;
    // The kernel holds a part of the reply only, so it cannot be answered before the reset.
    server.wait_until("the request in flight", |counts| counts.in_flight == 1)?;
    client.reset()?;
    let counts = server.settled(1)?;
    let came = (counts.closed.reset, counts.failed, counts.answered);
    equal("closed as reset, failed, answered", &came, &(1, 1, 0))
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

fn a_crowd_of_hostile_peers_disturbs_nobody(context: &Context) -> Check {
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
    server.wait_until("everybody gone", |counts| {
        counts.open == 0 && counts.in_flight == 0
    })?;
    still_serves(&server)
}

fn a_panic_costs_its_connection_only(context: &Context) -> Check {
    let server = context.keep_alive().lab().start()?;
    let mut other = server.connect()?;
    other.send(b"10:sho")?;
    let mut client = server.connect()?;
    client.send(&request("crash", "x"))?;
    client.expect_closed()?;
    drop(client);
    other.send(b"ut.ahoy,")?;
    other.expect_reply("AHOY")?;
    still_serves(&server)?;
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
    crate::failure::same_bytes("what came before the end", &bytes, b"3:ONE,")?;
    drop(client);
    let counts = server.settled(1)?;
    let came = (counts.requests, counts.answered, counts.failed);
    equal("requests, answered, failed", &came, &(2, 1, 1))
}

fn a_panic_is_told_once_with_its_message(context: &Context) -> Check {
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
        "what was told of panics",
        &messages,
        &vec!["the crash transform was requested"],
    )
}

fn a_hundred_panics_wear_nothing_out(context: &Context) -> Check {
    let server = context.one_shot().lab().start()?;
    for _ in 0..100 {
        let mut client = server.connect()?;
        client.send(&request("crash", "x"))?;
        client.expect_closed()?;
    }
    still_serves(&server)?;
    let counts = server.settled(101)?;
    equal("connections closed by a panic", &counts.closed.panic, &100)
}

fn a_panic_ends_no_thread_of_two(context: &Context) -> Check {
    let server = context.keep_alive().lab().threads(2).start()?;
    for _ in 0..4 {
        let mut client = server.connect()?;
        client.send(&request("crash", "x"))?;
        client.expect_closed()?;
    }
    // Four more, so that each of two threads has some.
    (0..4).try_for_each(|_| still_serves(&server))?;
    let counts = server.settled(8)?;
    ensure(counts.closed.panic == 4 && counts.answered == 4, || {
        format!("expected 4 panics and 4 answers, came {counts:?}")
    })
}

fn a_transform_that_takes_its_time_is_answered(context: &Context) -> Check {
    let server = context.one_shot().lab().start()?;
    let mut client = server.connect()?;
    client.send(&request("burn", "Ahoy"))?;
    client.expect_last("the reply", b"4:Ahoy,")
}
