//! How a client has its poems transformed (S13): one request for each, as soon as the poem is there.

use std::sync::Arc;

use poetry::{Event, FetchFailure, Kind, Role as Program};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::fake_servers::{FakeServer, Listener, Refuses, Replies, Serves};
use crate::fetching::{expect_poem, plain, transformed};
use crate::wire::{NON_ASCII, netstring, request, text};

cases! { TransformClient:
    a_cancel_closes_the_connection_to_the_transform_server [S13 S14],
    a_cancel_during_the_transform_is_told_once_and_of_the_poem [S13 S14] needs [Events],
    asks_with_one_netstring_and_takes_the_reply [S3 S13],
    does_not_wait_for_a_server_that_keeps_the_connection [S5 S13],
    does_not_close_before_the_reply [S6 S13],
    a_reply_that_comes_byte_by_byte_is_the_same_reply [S12 S13],
    an_empty_poem_is_transformed_too [S4 S13],
    an_empty_reply_is_a_poem [S4 S13],
    a_poem_as_long_as_a_frame_holds_is_transformed [S2 S13],
    a_poem_is_transformed_before_the_others_have_arrived [S13],
    transformed_poems_come_in_the_order_of_the_requests [S10 S13],
    a_poem_that_failed_is_not_sent_to_be_transformed [S11 S13],
    bytes_received_are_those_of_the_poem_not_of_the_reply [S13],
    a_transform_is_told_as_the_work_of_its_task [S13 S22] needs [Events],
    the_poem_and_its_transform_are_each_told_to_be_there_once [S13 S10] needs [Events],
    the_transform_server_s_addresses_are_tried_in_order [S10 S13],
}

fn asks_with_one_netstring_and_takes_the_reply(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(NON_ASCII.into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "cummingsify", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let mut server = transform.accept()?;
    let expected = request("cummingsify", NON_ASCII);
    same_bytes("the request", &server.receive(expected.len())?, &expected)?;
    server.send(&netstring("whatever the server says"))?;
    server.half_close()?;
    let (more, _) = server.receive_to_end()?;
    same_bytes("what came behind the request", &more, b"")?;
    expect_poem(&fetching.outcome()?, "whatever the server says")
}

fn does_not_wait_for_a_server_that_keeps_the_connection(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "a poem").len())?;
    server.send(&netstring("A POEM"))?;
    // The server keeps the connection; the client closes.
    server.expect_closed()?;
    expect_poem(&fetching.outcome()?, "A POEM")
}

fn does_not_close_before_the_reply(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "a poem").len())?;
    server.send(b"6:A ")?;
    let part = |events: &[Event]| {
        events.iter().any(|event| {
            event.role == Program::TransformClient && matches!(event.kind, Kind::Read { .. })
        })
    };
    fetching
        .journal()
        .wait_for("a part of the reply read", part)?;
    equal(
        "whether the client has finished sending",
        &server.is_readable()?,
        &false,
    )?;
    server.send(b"POEM,")?;
    expect_poem(&fetching.outcome()?, "A POEM")
}

fn a_reply_that_comes_byte_by_byte_is_the_same_reply(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "a poem").len())?;
    for byte in netstring(NON_ASCII).chunks(1) {
        server.send(byte)?;
    }
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

/// The outcome of a poem that the server replies to with `reply`, whatever it is.
fn replied(context: &Context, poem: &str, reply: &str) -> Check {
    let server = FakeServer::start(Serves(poem.into()))?;
    let to = request("shout", poem).len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring(reply),
    })?;
    let asked = transformed(server.address(), "shout", transform.address());
    expect_poem(&context.client()?.fetch_one(asked)?, reply)
}

fn an_empty_poem_is_transformed_too(context: &Context) -> Check {
    replied(context, "", "out of nothing")
}

fn an_empty_reply_is_a_poem(context: &Context) -> Check {
    replied(context, "a poem", "")
}

fn a_poem_as_long_as_a_frame_holds_is_transformed(context: &Context) -> Check {
    let longest = poetry::limits::FRAME_BYTES_MAX;
    replied(context, &text(longest - "shout.".len()), &text(longest))
}

fn a_poem_is_transformed_before_the_others_have_arrived(context: &Context) -> Check {
    let (early, late) = (
        FakeServer::start(Serves(b"early".into()))?,
        Listener::new()?,
    );
    let transform = Listener::new()?;
    let of = |address| transformed(address, "shout", transform.address());
    let fetching = context
        .client()?
        .start(vec![of(late.address()), of(early.address())]);
    let mut late = late.accept()?;
    // The late poem has not come, and the early one is transformed already.
    let mut server = transform.accept()?;
    let expected = request("shout", "early");
    same_bytes("the request", &server.receive(expected.len())?, &expected)?;
    server.send(&netstring("EARLY"))?;
    drop(server);
    late.send(b"late")?;
    drop(late);
    let mut server = transform.accept()?;
    server.receive(request("shout", "late").len())?;
    server.send(&netstring("LATE"))?;
    drop(server);
    let outcomes = fetching.outcomes()?;
    expect_poem(&outcomes[0], "LATE")?;
    expect_poem(&outcomes[1], "EARLY")
}

fn transformed_poems_come_in_the_order_of_the_requests(context: &Context) -> Check {
    let poems = ["one", "two", "six"];
    let servers = poems
        .iter()
        .map(|&poem| FakeServer::start(Serves(poem.into())))
        .collect::<Check<Vec<_>>>()?;
    let transform = Listener::new()?;
    let of = |server: &FakeServer| transformed(server.address(), "shout", transform.address());
    let fetching = context.client()?.start(servers.iter().map(of).collect());
    let mut asked = Vec::new();
    for _ in poems {
        let mut server = transform.accept()?;
        let request = server.receive(request("shout", "one").len())?;
        asked.push((server, request));
    }
    // Those who asked last are answered first.
    for (mut server, request) in asked.into_iter().rev() {
        let poem = String::from_utf8_lossy(&request[8..11]).to_uppercase();
        server.send(&netstring(poem))?;
    }
    let outcomes = fetching.outcomes()?;
    let expected = ["ONE", "TWO", "SIX"];
    outcomes
        .iter()
        .zip(expected)
        .try_for_each(|(outcome, poem)| expect_poem(outcome, poem))
}

fn a_poem_that_failed_is_not_sent_to_be_transformed(context: &Context) -> Check {
    let (nobody, transform) = (Refuses::new()?, Listener::new()?);
    let odd = FakeServer::start(Serves(b"\xff".into()))?;
    let of = |address| transformed(address, "shout", transform.address());
    let outcomes = context
        .client()?
        .fetch(vec![of(nobody.address()), of(odd.address())])?;
    for outcome in &outcomes {
        ensure(outcome.poem.is_err(), || {
            "expected an error, came a poem".to_owned()
        })?;
        equal("the transform's failure", &outcome.transform_failure, &None)?;
    }
    transform.expect_no_client()
}

fn bytes_received_are_those_of_the_poem_not_of_the_reply(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring(text(500)),
    })?;
    let asked = transformed(poem.address(), "shout", transform.address());
    equal(
        "bytes received",
        &context.client()?.fetch_one(asked)?.bytes,
        &6,
    )
}

fn a_transform_is_told_as_the_work_of_its_task(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring("A POEM"),
    })?;
    let of = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![of]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcome()?;
    let events = journal.events();
    let told: Vec<&Event> = events
        .iter()
        .filter(|event| event.role == Program::TransformClient)
        .collect();
    ensure(!told.is_empty(), || {
        "expected events of the transform, came none".to_owned()
    })?;
    for event in &told {
        equal("the task it serves", &event.scene.parent, &Some(0))?;
        equal(
            "the peer named",
            &event.scene.peer,
            &Some(transform.address()),
        )?;
    }
    let last = told.last().map(|event| &event.kind);
    equal(
        "the transform's last event",
        &last,
        &Some(&Kind::Finished { bytes: 6 }),
    )
}

fn the_poem_and_its_transform_are_each_told_to_be_there_once(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let with = netstring("A POEM, AND MORE");
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: with,
    })?;
    let asked = transformed(poem.address(), "shout", transform.address());
    // The second of two tasks, so that its number is not the default.
    let fetching = context.client()?.start(vec![plain(poem.address()), asked]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcomes()?;
    let of_task = |event: &Event| event.scene.parent.unwrap_or(event.scene.task) == 1;
    let told: Vec<_> = journal
        .events()
        .iter()
        .filter(|event| of_task(event) && matches!(event.kind, Kind::Finished { .. }))
        .map(|event| (event.role, event.scene.parent, event.kind.clone()))
        .collect();
    let expected = vec![
        (Program::PoemClient, None, Kind::Finished { bytes: 6 }),
        (
            Program::TransformClient,
            Some(1),
            Kind::Finished { bytes: 16 },
        ),
    ];
    equal("what was told to be there", &told, &expected)
}

fn the_transform_server_s_addresses_are_tried_in_order(context: &Context) -> Check {
    let (poem, nobody) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Refuses::new()?,
    );
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring("A POEM"),
    })?;
    let mut asked = transformed(poem.address(), "shout", transform.address());
    if let Some(via) = &mut asked.via {
        via.peer = poetry::Peer::new("two", vec![nobody.address(), transform.address()]);
    }
    expect_poem(&context.client()?.fetch_one(asked)?, "A POEM")
}

fn a_cancel_closes_the_connection_to_the_transform_server(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "the poem").len())?;
    fetching.cancel.task(0);
    server.expect_closed()?;
    let outcome = fetching.outcome()?;
    // Whoever cancels wants neither the poem nor its original.
    let failure = outcome.poem.as_ref().err().map(|error| &error.failure);
    equal("the failure", &failure, &Some(&FetchFailure::Cancelled))?;
    ensure(outcome.bytes == 8, || {
        format!("expected 8 bytes received, came {}", outcome.bytes)
    })
}

fn a_cancel_during_the_transform_is_told_once_and_of_the_poem(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Listener::new()?,
    );
    let asked = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![asked]);
    let journal = Arc::clone(fetching.journal());
    let mut server = transform.accept()?;
    server.receive(request("shout", "the poem").len())?;
    fetching.cancel.task(0);
    fetching.outcome()?;
    let told: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            Kind::Failed(failure) => Some((event.role, event.scene.task, failure)),
            _ => None,
        })
        .collect();
    let once = (Program::PoemClient, 0, FetchFailure::Cancelled);
    equal("the failures told", &told, &vec![once])
}
