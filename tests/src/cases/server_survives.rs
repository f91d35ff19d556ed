//! Resets (S19) end one connection of a framed server and nothing else.

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::peers::{ClosesAtOnce, ClosesMidFrame, HalfCloses, LeavesUnreadInput, NeverReads};
use crate::peers::{PipelinesMany, ResetsAtOnce, ResetsMidRequest, SendsGarbage, StallsMidRequest};
use crate::running::RunningServer;
use crate::wire::text;

cases! { TransformServer LibraryServer:
    a_reset_mid_request_ends_only_its_connection [S19] needs [Counters KeepAlive],
    #[smoke] resets_before_the_first_read_leave_other_connections_alone [S19],
    a_reset_fails_the_requests_without_a_delivered_reply [S19 S23] needs [Counters KeepAlive],
    a_reset_before_the_whole_reply_is_written_fails_the_request [S19 S23] needs [Counters Limits],
    a_reset_during_the_lingering_close_ends_it [S19 S7] needs [Counters],
    a_crowd_of_hostile_peers_leaves_other_connections_alone [S19 S18] needs [KeepAlive],
}

/// Expects that a new connection is answered.
fn expect_still_serves(server: &RunningServer, ahoy: &[u8]) -> Check {
    let mut client = server.connect()?;
    client.send(ahoy)?;
    client.expect_reply("AHOY")
}

fn a_reset_mid_request_ends_only_its_connection(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let (head, tail) = ahoy.split_at(4);
    let server = context.keep_alive().start()?;
    let mut other = server.connect()?;
    other.send(head)?;
    server.wait_until("half a request of the other client", |counts| {
        counts.bytes_in == 4
    })?;
    ResetsMidRequest.run(&server, head)?;
    let counts = server.wait_until("a reset", |counts| counts.closed.reset == 1)?;
    equal("complete requests", &counts.requests, &0)?;
    other.send(tail)?;
    other.expect_reply("AHOY")?;
    expect_still_serves(&server, &ahoy)
}

fn resets_before_the_first_read_leave_other_connections_alone(context: &Context) -> Check {
    let ahoy = context.exchange("ahoy");
    let server = context.framed().start()?;
    for _ in 0..200 {
        ResetsAtOnce.run(&server)?;
    }
    server.connect()?.expect_answer(&ahoy)?;
    if !server.has_counters() {
        return Ok(());
    }
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
    let ahoy = context.request("ahoy");
    let request = context.request(&text(1_000));
    let server = context.keep_alive().start()?;
    let client = NeverReads.run(server.address())?;
    let sending = PipelinesMany::begin(&client, &request, NeverReads::BYTES / 1_000)?;
    server.wait_until_blocked()?;
    sending.reset(client)?;
    let counts = server.settled(1)?;
    equal("connections closed as reset", &counts.closed.reset, &1)?;
    equal(
        "requests answered or failed",
        &(counts.answered + counts.failed),
        &counts.requests,
    )?;
    expect_still_serves(&server, &ahoy)
}

fn a_reset_before_the_whole_reply_is_written_fails_the_request(context: &Context) -> Check {
    let request = context.request(&text(NeverReads::BYTES));
    let set_up = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 2 * NeverReads::BYTES);
    let server = set_up.start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(&request)?;
    // The kernel holds only a part of the reply, so the request cannot count as answered before the reset.
    server.wait_until("the request in flight", |counts| counts.in_flight == 1)?;
    client.reset()?;
    let counts = server.settled(1)?;
    let actual = (counts.closed.reset, counts.failed, counts.answered);
    equal("closed as reset, failed, answered", &actual, &(1, 1, 0))
}

fn a_reset_during_the_lingering_close_ends_it(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context
        .one_shot()
        .limits(|limits| limits.linger_timeout *= 100)
        .start()?;
    let mut client = server.connect()?;
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    client.reset()?;
    let counts = server.settled(1)?;
    equal("answers", &counts.answered, &1)
}

fn a_crowd_of_hostile_peers_leaves_other_connections_alone(context: &Context) -> Check {
    let exchange = context.exchange("ahoy");
    let ahoy = &exchange.request;
    let server = context.keep_alive().start()?;
    let address = server.address();
    let mut good = server.connect()?;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        ClosesAtOnce.run(address)?;
        ResetsAtOnce.run(&server)?;
        crowd.push(SendsGarbage.send(address)?);
        crowd.push(StallsMidRequest.run(address, b"99999:shout.")?);
        crowd.push(ClosesMidFrame.send(address, ahoy, ahoy)?);
        crowd.push(LeavesUnreadInput.send(address, &context.refused_request())?);
        crowd.push(HalfCloses.send(address, ahoy)?);
        good.expect_answer(&exchange)?;
    }
    drop(crowd);
    good.half_close()?;
    good.expect_fin()?;
    if server.has_counters() {
        server.wait_until("every connection closed", |counts| {
            counts.open == 0 && counts.in_flight == 0
        })?;
    }
    server.connect()?.expect_answer(&exchange)
}
