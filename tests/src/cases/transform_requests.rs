//! A client requests transforms (S13): one request per poem, as soon as the poem has arrived.

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
    a_cancel_during_the_transform_is_reported_once_for_the_poem [S13 S14] needs [Events],
    #[smoke] sends_one_netstring_and_takes_the_reply [S3 S13],
    does_not_wait_for_the_server_to_close [S5 S13],
    does_not_finish_sending_before_the_whole_reply [S6 S13],
    a_reply_sent_byte_by_byte_arrives_unchanged [S12 S13],
    an_empty_poem_is_transformed [S4 S13],
    an_empty_reply_is_a_poem [S4 S13],
    a_poem_that_just_fits_a_frame_is_transformed [S2 S13],
    #[smoke] a_poem_is_transformed_before_the_others_arrive [S13],
    #[smoke] transformed_poems_are_in_request_order [S10 S13],
    a_failed_poem_is_not_sent_to_the_transform_server [S11 S13],
    bytes_received_count_the_poem_not_the_reply [S13],
    events_of_a_transform_name_the_task_it_serves [S13 S22] needs [Events],
    the_poem_and_its_transform_each_report_finished_once [S13 S10] needs [Events],
    the_addresses_of_the_transform_server_are_tried_in_order [S10 S13],
}

fn sends_one_netstring_and_takes_the_reply(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(NON_ASCII.into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "cummingsify", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let mut server = transform.accept()?;
    let expected = request("cummingsify", NON_ASCII);
    same_bytes("the request", &server.receive(expected.len())?, &expected)?;
    server.send(&netstring("any reply of the server"))?;
    server.half_close()?;
    let (more, _) = server.receive_to_end()?;
    same_bytes("the bytes after the request", &more, b"")?;
    expect_poem(&fetching.outcome()?, "any reply of the server")
}

fn does_not_wait_for_the_server_to_close(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "a poem").len())?;
    server.send(&netstring("A POEM"))?;
    // The server keeps the connection open; the client closes it.
    server.expect_closed()?;
    expect_poem(&fetching.outcome()?, "A POEM")
}

fn does_not_finish_sending_before_the_whole_reply(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
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
        .wait_for("the read of a part of the reply", part)?;
    equal(
        "whether the client has finished sending",
        &server.is_readable()?,
        &false,
    )?;
    server.send(b"POEM,")?;
    expect_poem(&fetching.outcome()?, "A POEM")
}

fn a_reply_sent_byte_by_byte_arrives_unchanged(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "a poem").len())?;
    for byte in netstring(NON_ASCII).chunks(1) {
        server.send(byte)?;
    }
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

/// Expects that the client takes `reply` for the transformed `poem`.
fn takes_reply(context: &Context, poem: &str, reply: &str) -> Check {
    let server = FakeServer::start(Serves(poem.into()))?;
    let to = request("shout", poem).len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring(reply),
    })?;
    let fetch = transformed(server.address(), "shout", transform.address());
    expect_poem(&context.client()?.fetch_one(fetch)?, reply)
}

fn an_empty_poem_is_transformed(context: &Context) -> Check {
    takes_reply(context, "", "a reply to an empty poem")
}

fn an_empty_reply_is_a_poem(context: &Context) -> Check {
    takes_reply(context, "a poem", "")
}

fn a_poem_that_just_fits_a_frame_is_transformed(context: &Context) -> Check {
    let longest = poetry::limits::FRAME_BYTES_MAX;
    takes_reply(context, &text(longest - "shout.".len()), &text(longest))
}

fn a_poem_is_transformed_before_the_others_arrive(context: &Context) -> Check {
    let (early, late) = (
        FakeServer::start(Serves(b"early".into()))?,
        Listener::new()?,
    );
    let transform = Listener::new()?;
    let shouted = |address| transformed(address, "shout", transform.address());
    let fetching = context
        .client()?
        .start(vec![shouted(late.address()), shouted(early.address())]);
    let mut late = late.accept()?;
    // The early poem is transformed although the late one has not arrived.
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

fn transformed_poems_are_in_request_order(context: &Context) -> Check {
    let poems = ["one", "two", "six"];
    let servers = poems
        .iter()
        .map(|&poem| FakeServer::start(Serves(poem.into())))
        .collect::<Check<Vec<_>>>()?;
    let transform = Listener::new()?;
    let shouted = |server: &FakeServer| transformed(server.address(), "shout", transform.address());
    let fetching = context
        .client()?
        .start(servers.iter().map(shouted).collect());
    let mut requests = Vec::new();
    for _ in poems {
        let mut server = transform.accept()?;
        let request = server.receive(request("shout", "one").len())?;
        requests.push((server, request));
    }
    // The last request is answered first.
    for (mut server, request) in requests.into_iter().rev() {
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

fn a_failed_poem_is_not_sent_to_the_transform_server(context: &Context) -> Check {
    let (refusing, transform) = (Refuses::new()?, Listener::new()?);
    let invalid = FakeServer::start(Serves(b"\xff".into()))?;
    let shouted = |address| transformed(address, "shout", transform.address());
    let outcomes = context.client()?.fetch(vec![
        shouted(refusing.address()),
        shouted(invalid.address()),
    ])?;
    for outcome in &outcomes {
        ensure(outcome.poem.is_err(), || {
            "expected an error, got a poem".to_owned()
        })?;
        equal("the transform's failure", &outcome.transform_failure, &None)?;
    }
    transform.expect_no_client()
}

fn bytes_received_count_the_poem_not_the_reply(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring(text(500)),
    })?;
    let fetch = transformed(poem.address(), "shout", transform.address());
    equal(
        "bytes received",
        &context.client()?.fetch_one(fetch)?.bytes,
        &6,
    )
}

fn events_of_a_transform_name_the_task_it_serves(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring("A POEM"),
    })?;
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcome()?;
    let events = journal.events();
    let reported: Vec<&Event> = events
        .iter()
        .filter(|event| event.role == Program::TransformClient)
        .collect();
    ensure(!reported.is_empty(), || {
        "expected events of the transform, got none".to_owned()
    })?;
    for event in &reported {
        equal("the task it serves", &event.scene.parent, &Some(0))?;
        equal(
            "the peer of the event",
            &event.scene.peer,
            &Some(transform.address()),
        )?;
    }
    let last = reported.last().map(|event| &event.kind);
    equal(
        "the last event of the transform",
        &last,
        &Some(&Kind::Finished { bytes: 6 }),
    )
}

fn the_poem_and_its_transform_each_report_finished_once(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(b"a poem".into()))?;
    let to = request("shout", "a poem").len();
    let with = netstring("A POEM, AND MORE");
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: with,
    })?;
    let fetch = transformed(poem.address(), "shout", transform.address());
    // The transform is for the second task, whose number differs from the default 0.
    let fetching = context.client()?.start(vec![plain(poem.address()), fetch]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcomes()?;
    let of_task = |event: &Event| event.scene.parent.unwrap_or(event.scene.task) == 1;
    let reported: Vec<_> = journal
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
    equal("the finished events", &reported, &expected)
}

fn the_addresses_of_the_transform_server_are_tried_in_order(context: &Context) -> Check {
    let (poem, refusing) = (
        FakeServer::start(Serves(b"a poem".into()))?,
        Refuses::new()?,
    );
    let to = request("shout", "a poem").len();
    let transform = FakeServer::start(Replies {
        request_bytes: to,
        reply: netstring("A POEM"),
    })?;
    let mut fetch = transformed(poem.address(), "shout", transform.address());
    if let Some(via) = &mut fetch.via {
        via.peer = poetry::Peer::new("two", vec![refusing.address(), transform.address()]);
    }
    expect_poem(&context.client()?.fetch_one(fetch)?, "A POEM")
}

fn a_cancel_closes_the_connection_to_the_transform_server(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let mut server = transform.accept()?;
    server.receive(request("shout", "the poem").len())?;
    fetching.cancel.task(0);
    server.expect_closed()?;
    let outcome = fetching.outcome()?;
    // A cancelled task keeps neither the transformed poem nor the original.
    let failure = outcome.poem.as_ref().err().map(|error| &error.failure);
    equal("the failure", &failure, &Some(&FetchFailure::Cancelled))?;
    ensure(outcome.bytes == 8, || {
        format!("expected 8 bytes received, got {}", outcome.bytes)
    })
}

fn a_cancel_during_the_transform_is_reported_once_for_the_poem(context: &Context) -> Check {
    let (poem, transform) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Listener::new()?,
    );
    let fetch = transformed(poem.address(), "shout", transform.address());
    let fetching = context.client()?.start(vec![fetch]);
    let journal = Arc::clone(fetching.journal());
    let mut server = transform.accept()?;
    server.receive(request("shout", "the poem").len())?;
    fetching.cancel.task(0);
    fetching.outcome()?;
    let reported: Vec<_> = journal
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            Kind::Failed(failure) => Some((event.role, event.scene.task, failure)),
            _ => None,
        })
        .collect();
    let once = (Program::PoemClient, 0, FetchFailure::Cancelled);
    equal("the reported failures", &reported, &vec![once])
}
