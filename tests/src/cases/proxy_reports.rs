//! The counters (S23) and events (S22) of a proxy: those of its clients, and those of its fetches.

use poetry::counters::{Closed, Fetches};
use poetry::{CloseReason, Counts, Event, Kind, Role as Program};

use super::proxy_shares::{expect_poem, fetching, serve, waiting};
use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::fake_servers::Listener;
use crate::running::RunningServer;

cases! { Proxy:
    the_counts_of_a_new_proxy_are_zero [S9 S23] needs [Counters],
    clients_and_fetches_are_counted_exactly [S9 S23] needs [Counters],
    a_waiting_client_and_its_fetch_count_as_under_way [S9 S23] needs [Counters],
    a_fetch_reports_the_events_of_a_poem_client [S9 S22] needs [Events Counters],
    fetches_are_numbered_from_zero [S9 S22] needs [Events Counters],
    events_of_a_client_are_in_order_and_name_both_ends [S9 S22] needs [Events Counters],
}

fn the_counts_of_a_new_proxy_are_zero(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let server = context.proxy(upstream.address()).start()?;
    equal("the counts", &server.counts()?, &Counts::default())?;
    // Nothing is fetched before a client comes.
    upstream.expect_no_client()
}

fn clients_and_fetches_are_counted_exactly(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 5)?;
    clients
        .pop()
        .map_or(Ok(()), crate::connection::Connection::reset)?;
    server.wait_until("one client gone", |counts| counts.open == 4)?;
    serve(fetch, "the poem")?;
    expect_poem(&mut clients, "the poem")?;
    clients.push(server.connect()?);
    expect_poem(&mut clients[4..], "the poem")?;
    drop(clients);
    let expected = Counts {
        accepted: 6,
        closed: Closed {
            done: 5,
            reset: 1,
            ..Closed::default()
        },
        requests: 6,
        answered: 5,
        failed: 1,
        bytes_out: 5 * 8,
        fetches: Fetches {
            begun: 1,
            cached: 1,
            ..Fetches::default()
        },
        ..Counts::default()
    };
    equal("the counts", &server.settled(6)?, &expected)
}

fn a_waiting_client_and_its_fetch_count_as_under_way(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, _clients, _fetch) = fetching(context, &upstream, 3)?;
    let counts = server.counts()?;
    let actual = (
        counts.open,
        counts.requests,
        counts.in_flight,
        counts.answered,
    );
    equal("open, requests, in flight, served", &actual, &(3, 3, 3, 0))?;
    equal("fetches under way", &counts.fetches.under_way, &1)
}

/// Waits for the events of `count` finished fetches, and returns all events.
fn finished(server: &RunningServer, count: usize) -> Check<Vec<Event>> {
    let finished = |event: &&Event| matches!(event.kind, Kind::Finished { .. });
    server.journal().wait_for("finished fetches", |events| {
        events.iter().filter(finished).count() >= count
    })
}

fn a_fetch_reports_the_events_of_a_poem_client(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 2)?;
    let ends = (Some(fetch.peer()?), Some(upstream.address()));
    serve(fetch, "the poem")?;
    expect_poem(&mut clients, "the poem")?;
    let mut events = finished(&server, 1)?;
    events.retain(|event| event.role == Program::PoemClient);
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    let expected = [
        Kind::Connecting,
        Kind::Connected,
        Kind::Read { bytes: 8 },
        Kind::Finished { bytes: 8 },
    ];
    equal(
        "the reported events",
        &kinds.as_slice(),
        &expected.as_slice(),
    )?;
    for event in &events[1..] {
        let actual = (event.scene.local, event.scene.peer);
        equal("the two ends of the event", &actual, &ends)?;
        equal("the task of the event", &event.scene.task, &0)?;
    }
    Ok(())
}

fn fetches_are_numbered_from_zero(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let setup = context.proxy(upstream.address());
    let server = setup.ttl(std::time::Duration::ZERO).start()?;
    for poem in ["one", "four", "eleven"] {
        let mut clients = waiting(&server, 2)?;
        serve(upstream.accept()?, poem)?;
        expect_poem(&mut clients, poem)?;
    }
    let finished: Vec<_> = finished(&server, 3)?
        .iter()
        .filter(|event| event.role == Program::PoemClient)
        .filter_map(|event| match event.kind {
            Kind::Finished { bytes } => Some((event.scene.task, bytes)),
            _ => None,
        })
        .collect();
    equal(
        "the tasks of the fetches and their bytes",
        &finished,
        &vec![(0, 3), (1, 4), (2, 6)],
    )
}

fn events_of_a_client_are_in_order_and_name_both_ends(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, fetch) = fetching(context, &upstream, 1)?;
    let ends = (Some(server.address()), Some(clients[0].local()?));
    serve(fetch, "the poem")?;
    expect_poem(&mut clients, "the poem")?;
    drop(clients);
    let done = Kind::Closed(CloseReason::Done);
    let mut events = server
        .journal()
        .wait_for("a connection closed as done", |events| {
            events.iter().any(|event| event.kind == done)
        })?;
    events.retain(|event| event.role != Program::PoemClient);
    for event in &events {
        let actual = (event.scene.local, event.scene.peer);
        equal("the two ends of the event", &actual, &ends)?;
        equal("the program of the event", &event.role, &Program::Proxy)?;
    }
    let kinds: Vec<_> = events.into_iter().map(|event| event.kind).collect();
    let expected = [
        Kind::Accepted,
        Kind::Wrote { bytes: 8 },
        Kind::Answered { requests: 1 },
        done,
    ];
    ensure(kinds == expected, || {
        format!("expected {expected:?}, got {kinds:?}")
    })
}
