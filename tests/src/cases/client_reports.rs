//! What a client tells while it fetches (S10, S22): progress by task, in the order of arrival, and how it ended.

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
    a_fetch_tells_connecting_connected_read_finished [S10 S22] needs [Events],
    progress_is_told_by_task_in_the_order_of_arrival [S10] needs [Events],
    the_bytes_told_are_the_bytes_of_the_poem [S10] needs [Events],
    events_name_both_ends_of_the_socket [S10] needs [Events],
    a_failure_is_told_once_and_is_the_last_event [S11] needs [Events],
    connecting_is_told_once_for_each_address_tried [S10] needs [Events],
    who_has_no_address_is_not_said_to_be_connected_to [S10 S11] needs [Events],
    the_time_told_is_no_less_than_the_fetch_took [S15 S22],
}

fn a_fetch_tells_connecting_connected_read_finished(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    listener.accept()?.send(b"the poem")?;
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcome()?;
    let told = journal.kinds_of(0);
    let expected = [
        Kind::Connecting,
        Kind::Connected,
        Kind::Read { bytes: 8 },
        Kind::Finished { bytes: 8 },
    ];
    equal("what was told", &told.as_slice(), &expected.as_slice())
}

fn progress_is_told_by_task_in_the_order_of_arrival(context: &Context) -> Check {
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
        journal.wait_for("each word read before the next is sent", |events| {
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
    equal("the tasks that read", &tasks, &vec![1, 0, 1, 1, 0])
}

fn the_bytes_told_are_the_bytes_of_the_poem(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(300_000).into()))?;
    let fetching = context.client()?.start(vec![plain(server.address())]);
    let journal = std::sync::Arc::clone(fetching.journal());
    let outcome = fetching.outcome()?;
    equal(
        "bytes read by the events",
        &bytes_read(&journal.events()),
        &300_000,
    )?;
    equal("bytes of the outcome", &outcome.bytes, &300_000)
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
        equal("the program named", &event.role, &Program::PoemClient)?;
        equal("the model named", &&*event.model, &context.subject())?;
        let came = (event.scene.local, event.scene.peer);
        match event.kind {
            Kind::Connecting => equal("the peer named", &came.1, &ends.1)?,
            _ => equal("the ends named", &came, &ends)?,
        }
    }
    Ok(())
}

fn a_failure_is_told_once_and_is_the_last_event(context: &Context) -> Check {
    let nobody = Refuses::new()?;
    let fetching = context.client()?.start(vec![plain(nobody.address())]);
    let journal = std::sync::Arc::clone(fetching.journal());
    let outcome = fetching.outcome()?;
    let failed = |event: &Event| match &event.kind {
        Kind::Failed(failure) => Some(failure.clone()),
        _ => None,
    };
    let events = journal.events();
    let told: Vec<FetchFailure> = events.iter().filter_map(failed).collect();
    let failure = outcome.poem.err().map(|error| error.failure);
    equal("the failures told", &told, &failure.into_iter().collect())?;
    let last = events.last().and_then(failed);
    ensure(last.is_some(), || {
        format!("expected the failure to be told last, came {events:?}")
    })
}

fn the_time_told_is_no_less_than_the_fetch_took(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    fetching.wait_connected(0)?;
    // The server takes this long: nothing is waited for here.
    let pause = Duration::from_millis(60);
    std::thread::sleep(pause);
    server.send(b"the poem")?;
    drop(server);
    let elapsed = fetching.outcome()?.elapsed;
    ensure(elapsed >= pause, || {
        format!("expected at least {pause:?}, came {elapsed:?}")
    })
}

fn connecting_is_told_once_for_each_address_tried(context: &Context) -> Check {
    let (one, two) = (Refuses::new()?, Refuses::new()?);
    let (server, beyond) = (
        FakeServer::start(Serves(b"the poem".into()))?,
        Refuses::new()?,
    );
    let tried = vec![one.address(), two.address(), server.address()];
    let peer = Peer::new("several", [tried.clone(), vec![beyond.address()]].concat());
    let fetching = context
        .client()?
        .start(vec![FetchRequest { peer, via: None }]);
    let journal = std::sync::Arc::clone(fetching.journal());
    fetching.outcome()?;
    let events = journal.events();
    let connecting = events.iter().filter(|event| event.kind == Kind::Connecting);
    let told: Vec<_> = connecting.filter_map(|event| event.scene.peer).collect();
    equal("the addresses connected to", &told, &tried)
}

fn who_has_no_address_is_not_said_to_be_connected_to(context: &Context) -> Check {
    let peers = [
        Peer::unresolved("no.such.name:1", "no such name"),
        Peer::new("nowhere", Vec::new()),
    ];
    for peer in peers {
        let fetching = context
            .client()?
            .start(vec![FetchRequest { peer, via: None }]);
        let journal = std::sync::Arc::clone(fetching.journal());
        fetching.outcome()?;
        let told = journal.kinds_of(0);
        let only_failed = matches!(
            told.as_slice(),
            [Kind::Failed(FetchFailure::ConnectionFailed { .. })]
        );
        ensure(only_failed, || {
            format!("expected one failure and nothing before it, came {told:?}")
        })?;
    }
    Ok(())
}
