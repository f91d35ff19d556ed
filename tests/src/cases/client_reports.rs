//! The events of a client (S10, S22): progress per task in order of arrival, and the end of each task.

use std::time::Duration;

use poetry::{Event, FetchFailure, FetchRequest, Kind, Peer, Role as Program};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::fake_servers::{FakeServer, Listener, Refuses, Serves};
use crate::fetching::plain;
use crate::journal::bytes_read;
use crate::wire::text;

cases! { PoemClient:
    a_fetch_reports_connecting_connected_read_finished [S10 S22] needs [Events],
    progress_is_reported_per_task_in_order_of_arrival [S10] needs [Events],
    the_reported_bytes_add_up_to_the_poem [S10] needs [Events],
    events_name_both_ends_of_the_socket [S10] needs [Events],
    a_failure_is_reported_once_as_the_last_event [S11] needs [Events],
    connecting_is_reported_once_for_each_address_tried [S10] needs [Events],
    a_peer_without_an_address_is_never_connected [S10 S11] needs [Events],
    the_reported_time_is_at_least_that_of_the_fetch [S15 S22],
}

fn a_fetch_reports_connecting_connected_read_finished(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    listener.accept()?.send(b"the poem")?;
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcome()?;
    let reported = journal.kinds_of(0);
    let expected = [
        Kind::Connecting,
        Kind::Connected,
        Kind::Read { bytes: 8 },
        Kind::Finished { bytes: 8 },
    ];
    equal(
        "the reported events",
        &reported.as_slice(),
        &expected.as_slice(),
    )
}

fn progress_is_reported_per_task_in_order_of_arrival(context: &Context) -> Check {
    let listeners = [Listener::new()?, Listener::new()?];
    let requests = listeners
        .iter()
        .map(|listener| plain(listener.address()))
        .collect();
    let fetching = context.client()?.start(requests);
    let mut servers = [listeners[0].accept()?, listeners[1].accept()?];
    for (word, task) in [1, 0, 1, 1, 0].into_iter().enumerate() {
        servers[task].send(b"word ")?;
        let journal = fetching.journal();
        journal.wait_for("the read of each word before the next is sent", |events| {
            bytes_read(events) == 5 * (word as u64 + 1)
        })?;
    }
    drop(servers);
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcomes()?;
    let tasks: Vec<u64> = journal
        .events()
        .iter()
        .filter(|event| matches!(event.kind, Kind::Read { .. }))
        .map(|event| event.scene.task)
        .collect();
    equal("the tasks of the read events", &tasks, &vec![1, 0, 1, 1, 0])
}

fn the_reported_bytes_add_up_to_the_poem(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(300_000).into()))?;
    let fetching = context.client()?.start(vec![plain(server.address())]);
    let journal = std::sync::Arc::clone(fetching.journal());
    let outcome = fetching.outcome()?;
    equal(
        "the bytes of the read events",
        &bytes_read(&journal.events()),
        &300_000,
    )?;
    equal("the bytes of the outcome", &outcome.bytes, &300_000)
}

fn events_name_both_ends_of_the_socket(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    let ends = (Some(server.peer()?), Some(listener.address()));
    server.send(b"the poem")?;
    drop(server);
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcome()?;
    for event in journal.events() {
        equal(
            "the program of the event",
            &event.role,
            &Program::PoemClient,
        )?;
        equal("the model of the event", &&*event.model, &context.subject())?;
        let actual = (event.scene.local, event.scene.peer);
        match event.kind {
            Kind::Connecting => equal("the peer of the event", &actual.1, &ends.1)?,
            _ => equal("the two ends of the event", &actual, &ends)?,
        }
    }
    Ok(())
}

fn a_failure_is_reported_once_as_the_last_event(context: &Context) -> Check {
    let refusing = Refuses::new()?;
    let fetching = context.client()?.start(vec![plain(refusing.address())]);
    let journal = std::sync::Arc::clone(fetching.journal());
    let outcome = fetching.outcome()?;
    let failed = |event: &Event| match &event.kind {
        Kind::Failed(failure) => Some(failure.clone()),
        _ => None,
    };
    let events = journal.events();
    let reported: Vec<FetchFailure> = events.iter().filter_map(failed).collect();
    let failure = outcome.poem.err().map(|error| error.failure);
    equal(
        "the reported failures",
        &reported,
        &failure.into_iter().collect(),
    )?;
    let last = events.last().and_then(failed);
    ensure(last.is_some(), || {
        format!("expected the failure as the last event, got {events:?}")
    })
}

fn the_reported_time_is_at_least_that_of_the_fetch(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    fetching.wait_connected(0)?;
    // A pause that makes the server slow; it waits for nothing.
    let pause = Duration::from_millis(60);
    std::thread::sleep(pause);
    server.send(b"the poem")?;
    drop(server);
    let elapsed = fetching.outcome()?.elapsed;
    ensure(elapsed >= pause, || {
        format!("expected at least {pause:?}, got {elapsed:?}")
    })
}

fn connecting_is_reported_once_for_each_address_tried(context: &Context) -> Check {
    let (one, two) = (Refuses::new()?, Refuses::new()?);
    let (server, untried) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Refuses::new()?,
    );
    let tried = vec![one.address(), two.address(), server.address()];
    let peer = Peer::new("several", [tried.clone(), vec![untried.address()]].concat());
    let fetching = context.client()?.start(vec![FetchRequest {
        peer,
        name: None,
        via: None,
    }]);
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcome()?;
    let events = journal.events();
    let connecting = events.iter().filter(|event| event.kind == Kind::Connecting);
    let reported: Vec<_> = connecting.filter_map(|event| event.scene.peer).collect();
    equal("the addresses of the connecting events", &reported, &tried)
}

fn a_peer_without_an_address_is_never_connected(context: &Context) -> Check {
    let peers = [
        Peer::unresolved("no.such.name:1", "no such name"),
        Peer::new("nowhere", Vec::new()),
    ];
    for peer in peers {
        let fetching = context.client()?.start(vec![FetchRequest {
            peer,
            name: None,
            via: None,
        }]);
        let journal = std::sync::Arc::clone(fetching.journal());
        fetching.outcome()?;
        let reported = journal.kinds_of(0);
        let only_failed = matches!(
            reported.as_slice(),
            [Kind::Failed(FetchFailure::ConnectionFailed { .. })]
        );
        ensure(only_failed, || {
            format!("expected one failure and no other event, got {reported:?}")
        })?;
    }
    Ok(())
}
