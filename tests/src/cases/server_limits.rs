//! The connection limit of a framed server (S16): connections beyond it wait until another one ends.

use std::time::Duration;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, During, ensure, equal};
use crate::peers::{HalfCloses, ResetsMidRequest};
use crate::wire::netstring;

cases! { TransformServer LibraryServer:
    connections_beyond_the_limit_wait_and_are_served [S16] needs [Counters Limits KeepAlive],
    many_more_connections_than_the_limit_are_served_in_turn [S16] needs [Counters Limits],
    a_lingering_connection_counts_toward_the_limit [S16 S7] needs [Counters Limits],
    every_kind_of_close_frees_a_place [S16] needs [Counters Limits KeepAlive],
    the_limit_applies_to_the_whole_server_not_to_each_thread [S16] needs [Counters Limits Threads KeepAlive],
}

const NEVER: Duration = Duration::from_secs(600);

fn connections_beyond_the_limit_wait_and_are_served(context: &Context) -> Check {
    let [first, again, three] = ["one", "again", "three"].map(|text| context.request(text));
    let server = context
        .keep_alive()
        .limits(|limits| limits.connections_max = 2)
        .start()?;
    let (mut one, _two) = (server.connect()?, server.connect()?);
    one.send(&first)?;
    one.expect_reply("ONE")?;
    server.wait_until("two connections", |counts| counts.open == 2)?;
    let mut waiting = server.connect()?;
    waiting.send(&three)?;
    one.send(&again)?;
    one.expect_reply("AGAIN")?;
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    drop(one);
    waiting.expect_reply("THREE")
}

fn many_more_connections_than_the_limit_are_served_in_turn(context: &Context) -> Check {
    let requests: Vec<_> = (0..30)
        .map(|number| context.request(&format!("client {number}")))
        .collect();
    let server = context
        .one_shot()
        .limits(|limits| limits.connections_max = 2)
        .start()?;
    let mut clients = Vec::new();
    for request in &requests {
        let mut client = server.connect()?;
        client.send(request)?;
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
    let (one, two) = (context.request("one"), context.request("two"));
    let set_up = context.one_shot().limits(|limits| {
        limits.connections_max = 1;
        limits.linger_timeout = NEVER;
    });
    let server = set_up.start()?;
    let mut lingering = server.connect()?;
    lingering.send(&one)?;
    lingering.expect_last("the reply", b"3:ONE,")?;
    let mut waiting = server.connect()?;
    waiting.send(&two)?;
    server.expect_never("a second connection", |counts| counts.accepted > 1)?;
    drop(lingering);
    waiting.expect_last("the reply of the waiting client", b"3:TWO,")
}

fn every_kind_of_close_frees_a_place(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let set_up = context
        .keep_alive()
        .limits(|limits| limits.connections_max = 1);
    let server = set_up.start()?;
    let address = server.address();
    let expect_served = |after: &str| -> Check {
        let mut client = server.connect()?;
        client.send(&ahoy)?;
        client.expect_reply("AHOY").during(after)
    };
    expect_served("after the start")?;
    HalfCloses
        .send(address, &context.refused_request())?
        .expect_fin()?;
    expect_served("after a refusal")?;
    HalfCloses.send(address, &ahoy[..3])?.expect_fin()?;
    expect_served("after a truncated request")?;
    ResetsMidRequest.run(&server, &ahoy[..3])?;
    expect_served("after a reset")?;
    let counts = server.settled(7)?;
    let ends = (counts.closed.refused, counts.closed.reset);
    equal("connections closed as refused and as reset", &ends, &(2, 1))
}

fn the_limit_applies_to_the_whole_server_not_to_each_thread(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let set_up = context
        .keep_alive()
        .threads(2)
        .limits(|limits| limits.connections_max = 3);
    let server = set_up.start()?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect()?;
        client.send(&ahoy)?;
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
