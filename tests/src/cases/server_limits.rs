//! The connection limit of a transform server (S16): connections beyond it wait until another one ends.

use std::time::Duration;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::peers::{HalfCloses, ResetsMidRequest};
use crate::wire::{netstring, request};

cases! { TransformServer:
    connections_beyond_the_limit_wait_and_are_served [S16] needs [Counters Limits KeepAlive],
    many_more_connections_than_the_limit_are_served_in_turn [S16] needs [Counters Limits],
    a_lingering_connection_counts_toward_the_limit [S16 S7] needs [Counters Limits],
    every_kind_of_close_frees_a_place [S16] needs [Counters Limits Lab KeepAlive],
    the_limit_applies_to_the_whole_server_not_to_each_thread [S16] needs [Counters Limits Threads KeepAlive],
}

const NEVER: Duration = Duration::from_secs(600);

fn connections_beyond_the_limit_wait_and_are_served(context: &Context) -> Check {
    let server = context
        .keep_alive()
        .limits(|limits| limits.connections_max = 2)
        .start()?;
    let (mut one, _two) = (server.connect()?, server.connect()?);
    one.send(&request("shout", "one"))?;
    one.expect_reply("ONE")?;
    server.wait_until("two connections", |counts| counts.open == 2)?;
    let mut waiting = server.connect()?;
    waiting.send(&request("shout", "three"))?;
    one.send(&request("shout", "again"))?;
    one.expect_reply("AGAIN")?;
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    drop(one);
    waiting.expect_reply("THREE")
}

fn many_more_connections_than_the_limit_are_served_in_turn(context: &Context) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| limits.connections_max = 2)
        .start()?;
    let mut clients = Vec::new();
    for number in 0..30 {
        let mut client = server.connect()?;
        client.send(&request("shout", &format!("client {number}")))?;
        clients.push(client);
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        client.expect_last("the reply", &netstring(format!("CLIENT {number}")))?;
        let open = server.counts()?.open;
        ensure(open <= 2, || {
            format!("expected at most 2 open connections, got {open}")
        })?;
    }
    let counts = server.settled(30)?;
    equal("answers", &counts.answered, &30)
}

fn a_lingering_connection_counts_toward_the_limit(context: &Context) -> Check {
    let set_up = context.one_shot().limits(|limits| {
        limits.connections_max = 1;
        limits.linger_timeout = NEVER;
    });
    let server = set_up.start()?;
    let mut lingering = server.connect()?;
    lingering.send(&request("shout", "one"))?;
    lingering.expect_last("the reply", b"3:ONE,")?;
    let mut waiting = server.connect()?;
    waiting.send(&request("shout", "two"))?;
    server.expect_never("a second connection", |counts| counts.accepted > 1)?;
    drop(lingering);
    waiting.expect_last("the reply of the waiting client", b"3:TWO,")
}

fn every_kind_of_close_frees_a_place(context: &Context) -> Check {
    let set_up = context
        .keep_alive()
        .lab()
        .limits(|limits| limits.connections_max = 1);
    let server = set_up.start()?;
    let address = server.address();
    let expect_served = |after: &str| -> Check {
        let mut client = server.connect()?;
        client.send(&request("shout", after))?;
        client.expect_reply(&after.to_uppercase())
    };
    expect_served("a good connection")?;
    HalfCloses.send(address, &netstring("none"))?.expect_fin()?;
    expect_served("a refusal")?;
    HalfCloses.send(address, b"10:shout")?.expect_fin()?;
    expect_served("a truncated request")?;
    ResetsMidRequest.run(&server, b"10:shout")?;
    expect_served("a reset")?;
    HalfCloses
        .send(address, &request("crash", "x"))?
        .expect_closed()?;
    expect_served("a panic")?;
    let counts = server.settled(9)?;
    let ends = (
        counts.closed.refused,
        counts.closed.reset,
        counts.closed.panic,
    );
    equal(
        "connections closed as refused, as reset and by a panic",
        &ends,
        &(2, 1, 1),
    )
}

fn the_limit_applies_to_the_whole_server_not_to_each_thread(context: &Context) -> Check {
    let set_up = context
        .keep_alive()
        .threads(2)
        .limits(|limits| limits.connections_max = 3);
    let server = set_up.start()?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect()?;
        client.send(&request("shout", "ahoy"))?;
        clients.push(client);
    }
    let mut waiting = clients.remove(3);
    for client in &mut clients {
        client.expect_reply("AHOY")?;
    }
    server.expect_never("a fourth connection", |counts| counts.accepted > 3)?;
    clients.truncate(2);
    waiting.expect_reply("AHOY")
}
