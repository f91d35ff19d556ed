//! How many connections a transform server holds (S16): those beyond the limit wait, and are served when one ends.

use std::time::Duration;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::peers::{HalfCloses, ResetsMidRequest};
use crate::wire::{netstring, request};

cases! { TransformServer:
    those_beyond_the_limit_wait_and_are_served [S16] needs [Counters Limits KeepAlive],
    many_more_than_the_limit_are_served_in_turn [S16] needs [Counters Limits],
    a_lingering_connection_counts_as_one [S16 S7] needs [Counters Limits],
    a_place_is_free_again_however_a_connection_ends [S16] needs [Counters Limits Lab KeepAlive],
    the_limit_is_the_whole_server_s_whatever_its_threads [S16] needs [Counters Limits Threads KeepAlive],
}

const NEVER: Duration = Duration::from_secs(600);

fn those_beyond_the_limit_wait_and_are_served(context: &Context) -> Check {
    let server = context
        .keep_alive()
        .limits(|limits| limits.connections_max = 2)
        .start()?;
    let (mut one, _two) = (server.connect()?, server.connect()?);
    one.send(&request("shout", "one"))?;
    one.expect_reply("ONE")?;
    server.wait_until("two connections", |counts| counts.open == 2)?;
    let mut three = server.connect()?;
    three.send(&request("shout", "three"))?;
    one.send(&request("shout", "again"))?;
    one.expect_reply("AGAIN")?;
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    drop(one);
    three.expect_reply("THREE")
}

fn many_more_than_the_limit_are_served_in_turn(context: &Context) -> Check {
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
            format!("expected at most 2 connections open, came {open}")
        })?;
    }
    let counts = server.settled(30)?;
    equal("answers", &counts.answered, &30)
}

fn a_lingering_connection_counts_as_one(context: &Context) -> Check {
    let set_up = context.one_shot().limits(|limits| {
        limits.connections_max = 1;
        limits.linger_timeout = NEVER;
    });
    let server = set_up.start()?;
    let mut lingers = server.connect()?;
    lingers.send(&request("shout", "one"))?;
    lingers.expect_last("the reply", b"3:ONE,")?;
    let mut waits = server.connect()?;
    waits.send(&request("shout", "two"))?;
    server.expect_never("a second connection", |counts| counts.accepted > 1)?;
    drop(lingers);
    waits.expect_last("the reply to who waited", b"3:TWO,")
}

fn a_place_is_free_again_however_a_connection_ends(context: &Context) -> Check {
    let set_up = context
        .keep_alive()
        .lab()
        .limits(|limits| limits.connections_max = 1);
    let server = set_up.start()?;
    let address = server.address();
    let serves = |after: &str| -> Check {
        let mut client = server.connect()?;
        client.send(&request("shout", after))?;
        client.expect_reply(&after.to_uppercase())
    };
    serves("a good connection")?;
    HalfCloses.send(address, &netstring("none"))?.expect_fin()?;
    serves("a refusal")?;
    HalfCloses.send(address, b"10:shout")?.expect_fin()?;
    serves("a truncated request")?;
    ResetsMidRequest.run(&server, b"10:shout")?;
    serves("a reset")?;
    HalfCloses
        .send(address, &request("crash", "x"))?
        .expect_closed()?;
    serves("a panic")?;
    let counts = server.settled(9)?;
    let ends = (
        counts.closed.refused,
        counts.closed.reset,
        counts.closed.panic,
    );
    equal(
        "connections refused, reset and ended by panic",
        &ends,
        &(2, 1, 1),
    )
}

fn the_limit_is_the_whole_server_s_whatever_its_threads(context: &Context) -> Check {
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
    let mut waits = clients.remove(3);
    for client in &mut clients {
        client.expect_reply("AHOY")?;
    }
    server.expect_never("a fourth connection", |counts| counts.accepted > 3)?;
    clients.truncate(2);
    waits.expect_reply("AHOY")
}
