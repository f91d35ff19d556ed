//! The counters (S23) and events (S22) of a framed server match exactly what its clients did.

use std::thread;

use poetry::event::Interest;
use poetry::{CloseReason, Counts, Kind, Role as Program};

use crate::case::{Role, cases};
use crate::connection::Connection;
use crate::context::Context;
use crate::exchanges::Exchange;
use crate::failure::{Check, Failure, ensure, equal, same_bytes};
use crate::journal::{bytes_read, bytes_written};
use crate::wire::{netstring, text};

cases! { TransformServer LibraryServer:
    the_counts_of_a_new_server_are_zero [S23] needs [Counters],
    bytes_requests_and_connections_are_counted_exactly [S23] needs [Counters KeepAlive],
    counts_add_up_and_never_decrease [S23] needs [Counters KeepAlive],
    the_final_counts_cover_the_whole_run [S23] needs [Counters KeepAlive Signals],
    events_account_for_every_counted_byte_and_request [S23] needs [Counters Events KeepAlive],
    events_of_a_connection_are_in_order_and_name_both_ends [S22] needs [Events],
    an_observer_receives_only_the_events_it_wants [S22] needs [Events KeepAlive],
    a_thousand_open_connections_are_served_concurrently [S16] needs [KeepAlive ManyConnections],
}

fn the_counts_of_a_new_server_are_zero(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    equal("the counts", &server.counts()?, &Counts::default())
}

fn bytes_requests_and_connections_are_counted_exactly(context: &Context) -> Check {
    let requests: Vec<u8> = (0..7)
        .flat_map(|n| context.request(&text(n * 100)))
        .collect();
    let server = context.keep_alive().start()?;
    let replies: usize = (0..7).map(|n| netstring(text(n * 100)).len()).sum();
    for _ in 0..3 {
        let mut client = server.connect()?;
        client.send(&requests)?;
        client.receive(replies)?;
        client.half_close()?;
        client.expect_fin()?;
    }
    let counts = server.settled(3)?;
    let expected = Counts {
        accepted: 3,
        closed: poetry::counters::Closed {
            done: 3,
            ..Default::default()
        },
        requests: 21,
        answered: 21,
        bytes_in: 3 * requests.len() as u64,
        bytes_out: 3 * replies as u64,
        ..Counts::default()
    };
    equal("the counts", &counts, &expected)
}

fn counts_add_up_and_never_decrease(context: &Context) -> Check {
    const CLIENTS: u64 = 4;
    const ROUNDS: u64 = 200;
    let ahoy = context.request("ahoy");
    let server = context.keep_alive().start()?;
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let ahoy = ahoy.clone();
            thread::spawn(move || -> Check {
                let mut client = Connection::open(address)?;
                for _ in 0..ROUNDS {
                    client.send(&ahoy)?;
                    client.expect_reply("AHOY")?;
                }
                Ok(())
            })
        })
        .collect();
    let mut last = Counts::default();
    while clients.iter().any(|client| !client.is_finished()) {
        let counts = server.counts()?;
        let fields = |c: &Counts| [c.accepted, c.requests, c.answered, c.bytes_in, c.bytes_out];
        let increasing = fields(&last)
            .iter()
            .zip(fields(&counts))
            .all(|(&old, new)| old <= new);
        ensure(increasing, || {
            format!("expected counts that never decrease, got {counts:?} after {last:?}")
        })?;
        last = counts;
    }
    for client in clients {
        client
            .join()
            .map_err(|_| Failure::broken("a client panicked"))??;
    }
    let counts = server.settled(CLIENTS)?;
    equal("answers", &counts.answered, &(CLIENTS * ROUNDS))
}

fn the_final_counts_cover_the_whole_run(context: &Context) -> Check {
    let one = context.request("one");
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&[one, context.refused_request()].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let before = server.settled(1)?;
    let stopped = server.stop(std::time::Duration::ZERO)?;
    equal("the final counts", stopped.counts()?, &before)
}

fn events_account_for_every_counted_byte_and_request(context: &Context) -> Check {
    let lengths = [0, 10, 90_000];
    let requests = lengths.map(|length| context.request(&text(length)));
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    for (length, request) in lengths.into_iter().zip(&requests) {
        client.send(request)?;
        client.expect_reply(&text(length).to_uppercase())?;
    }
    drop(client);
    let counts = server.settled(1)?;
    let closed = |kind: &Kind| matches!(kind, Kind::Closed(_));
    let events = server
        .journal()
        .wait_for("the event of a close", |events| {
            events.iter().any(|event| closed(&event.kind))
        })?;
    equal(
        "the bytes of the read events",
        &bytes_read(&events),
        &counts.bytes_in,
    )?;
    equal(
        "the bytes of the write events",
        &bytes_written(&events),
        &counts.bytes_out,
    )?;
    let answered = events.iter().fold(0, |sum, event| match event.kind {
        Kind::Answered { requests } => sum + requests,
        _ => sum,
    });
    equal("the answers of the events", &answered, &3)
}

fn events_of_a_connection_are_in_order_and_name_both_ends(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    let ends = (Some(server.address()), Some(client.local()?));
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    drop(client);
    let done = Kind::Closed(CloseReason::Done);
    let events = server
        .journal()
        .wait_for("a connection closed as done", |events| {
            events.iter().any(|event| event.kind == done)
        })?;
    let place = |wanted: fn(&Kind) -> bool| events.iter().position(|event| wanted(&event.kind));
    let places = [
        place(|kind| *kind == Kind::Accepted),
        place(|kind| matches!(kind, Kind::Read { .. })),
        place(|kind| matches!(kind, Kind::Wrote { .. })),
        place(|kind| matches!(kind, Kind::Answered { requests: 1 })),
        place(|kind| matches!(kind, Kind::Closed(CloseReason::Done))),
    ];
    let in_order = places.iter().all(Option::is_some) && places.is_sorted();
    ensure(in_order, || {
        format!("expected accepted, read, wrote, answered, closed, got {events:?}")
    })?;
    let program = match context.role() {
        Role::LibraryServer => Program::LibraryServer,
        _ => Program::TransformServer,
    };
    for event in &events {
        equal(
            "the two ends of the event",
            &(event.scene.local, event.scene.peer),
            &ends,
        )?;
        equal("the program of the event", &event.role, &program)?;
        equal("the model of the event", &&*event.model, &context.subject())?;
    }
    let times: Vec<_> = events.iter().map(|event| event.at).collect();
    ensure(times.is_sorted(), || {
        format!("expected times that never decrease, got {times:?}")
    })
}

fn an_observer_receives_only_the_events_it_wants(context: &Context) -> Check {
    let one = context.request("one");
    let server = context.keep_alive().observing(Interest::TROUBLE).start()?;
    let mut client = server.connect()?;
    client.send(&[one, context.refused_request()].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    server.settled(1)?;
    let kinds: Vec<_> = server
        .journal()
        .events()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    let one_refusal = matches!(kinds.as_slice(), [Kind::Refused(_)]);
    ensure(one_refusal, || {
        format!("expected one refusal and no other event, got {kinds:?}")
    })
}

fn a_thousand_open_connections_are_served_concurrently(context: &Context) -> Check {
    let exchanges = ["round 0", "round 1"].map(|text| context.exchange(text));
    const CLIENTS: u64 = 1_000;
    let server = context.keep_alive().start()?;
    let mut clients = (0..CLIENTS)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    if server.has_counters() {
        server.wait_until("a thousand connections open", |counts| {
            counts.open == CLIENTS
        })?;
    }
    for Exchange { request, reply } in &exchanges {
        for client in &mut clients {
            client.send(request)?;
        }
        for client in &mut clients {
            same_bytes("the reply", &client.receive(reply.len())?, reply)?;
        }
    }
    drop(clients);
    server.check_counts(CLIENTS, |counts| {
        equal("answers", &counts.answered, &(2 * CLIENTS))
    })
}
