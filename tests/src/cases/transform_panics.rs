//! A panic (S20) ends one connection of a transform server and nothing else.

use poetry::{CloseReason, Kind};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::running::RunningServer;
use crate::wire::request;

cases! { TransformServer:
    a_panic_ends_only_its_connection [S20] needs [Lab KeepAlive],
    replies_before_a_panic_are_delivered [S20 S5] needs [Lab KeepAlive],
    a_panic_is_reported_once_with_its_message [S20] needs [Lab Events],
    a_server_still_answers_after_a_hundred_panics [S20] needs [Lab],
    a_panic_ends_neither_of_two_threads [S20] needs [Lab Threads KeepAlive Counters],
    a_slow_transform_is_answered [S20] needs [Lab],
}

/// Expects that a new connection is answered.
fn expect_still_serves(server: &RunningServer) -> Check {
    let mut client = server.connect()?;
    client.send(&request("shout", "still there"))?;
    client.expect_reply("STILL THERE")
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
    drop(other);
    server.check_counts(3, |counts| {
        let actual = (counts.closed.panic, counts.failed);
        equal("closed by a panic, requests failed", &actual, &(1, 1))
    })
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
    server.check_counts(1, |counts| {
        let actual = (counts.requests, counts.answered, counts.failed);
        equal("requests, answered, failed", &actual, &(2, 1, 1))
    })
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
    server.check_counts(101, |counts| {
        equal("connections closed by a panic", &counts.closed.panic, &100)
    })
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
