//! The counters (S23) and events (S22) of a transform server match exactly what its clients did.

use std::thread;

use poetry::event::Interest;
use poetry::{CloseReason, Counts, Kind, Role as Program};

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure, ensure, equal};
use crate::journal::{bytes_read, bytes_written};
use crate::wire::{netstring, request, text};

cases! { TransformServer:
    the_counts_of_a_new_server_are_zero [S23] needs [Counters],
    bytes_requests_and_connections_are_counted_exactly [S23] needs [Counters KeepAlive],
    every_refusal_is_counted_under_its_reason [S23] needs [Counters KeepAlive],
    counts_add_up_and_never_decrease [S23] needs [Counters KeepAlive],
    the_final_counts_cover_the_whole_run [S23] needs [Counters KeepAlive Signals],
    events_account_for_every_counted_byte_and_request [S23] needs [Counters Events KeepAlive],
    events_of_a_connection_are_in_order_and_name_both_ends [S22] needs [Events],
    an_observer_receives_only_the_events_it_wants [S22] needs [Events KeepAlive],
    replies_to_one_read_leave_in_one_write [S5] needs [Events KeepAlive],
    a_thousand_open_connections_are_served_concurrently [S16 S23] needs [Counters KeepAlive ManyConnections],
}

fn the_counts_of_a_new_server_are_zero(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    equal("the counts", &server.counts()?, &Counts::default())
}

fn bytes_requests_and_connections_are_counted_exactly(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let requests: Vec<u8> = (0..7)
        .flat_map(|n| request("shout", &text(n * 100)))
        .collect();
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

fn every_refusal_is_counted_under_its_reason(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let grows = request("cummingsify", &"İ".repeat(40_000));
    let bad = [
        netstring("none"),
        request("sing", "x"),
        netstring(b"shout.\xff"),
        request("gibberish", "x"),
        grows,
        b"x".to_vec(),
        b"5:".to_vec(),
    ];
    for bytes in &bad {
        let mut client = Connection::open(server.address())?;
        client.send(bytes)?;
        client.half_close()?;
        client.expect_fin()?;
    }
    let counts = server.settled(bad.len() as u64)?;
    let each = poetry::counters::Refused {
        no_dot: 1,
        unknown_transform: 1,
        not_utf8: 1,
        transform_failed: 1,
        reply_too_long: 1,
        framing: 1,
        truncated: 1,
        ..Default::default()
    };
    equal("the refusals", &counts.refused, &each)?;
    equal("connections closed as refused", &counts.closed.refused, &7)
}

fn counts_add_up_and_never_decrease(context: &Context) -> Check {
    const CLIENTS: u64 = 4;
    const ROUNDS: u64 = 200;
    let server = context.keep_alive().start()?;
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            thread::spawn(move || -> Check {
                let mut client = Connection::open(address)?;
                for _ in 0..ROUNDS {
                    client.send(&request("shout", "ahoy"))?;
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
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&[request("shout", "one"), netstring("none")].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let before = server.settled(1)?;
    let stopped = server.stop(std::time::Duration::ZERO)?;
    equal("the final counts", stopped.counts()?, &before)
}

fn events_account_for_every_counted_byte_and_request(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    for length in [0, 10, 90_000] {
        client.send(&request("shout", &text(length)))?;
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
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    let ends = (Some(server.address()), Some(client.local()?));
    client.send(&request("shout", "ahoy"))?;
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
    for event in &events {
        equal(
            "the two ends of the event",
            &(event.scene.local, event.scene.peer),
            &ends,
        )?;
        equal(
            "the program of the event",
            &event.role,
            &Program::TransformServer,
        )?;
        equal("the model of the event", &&*event.model, &context.subject())?;
    }
    let times: Vec<_> = events.iter().map(|event| event.at).collect();
    ensure(times.is_sorted(), || {
        format!("expected times that never decrease, got {times:?}")
    })
}

fn an_observer_receives_only_the_events_it_wants(context: &Context) -> Check {
    let server = context.keep_alive().observing(Interest::TROUBLE).start()?;
    let mut client = server.connect()?;
    client.send(&[request("shout", "one"), netstring("none")].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    server.settled(1)?;
    let kinds: Vec<_> = server
        .journal()
        .events()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    equal(
        "the kinds of the events",
        &kinds,
        &vec![Kind::Refused(poetry::Refusal::NoDot)],
    )
}

fn replies_to_one_read_leave_in_one_write(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "ahoy").repeat(16))?;
    client.receive(16 * netstring("AHOY").len())?;
    drop(client);
    let events = server.journal().wait_for("sixteen answers", |events| {
        let answered = |event: &poetry::Event| match event.kind {
            Kind::Answered { requests } => requests,
            _ => 0,
        };
        events.iter().map(answered).sum::<u64>() == 16
    })?;
    let reads = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Read { .. }))
        .count();
    let writes = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Wrote { .. }))
        .count();
    ensure(writes <= reads, || {
        format!("expected at most one write per read, got {writes} writes for {reads} reads")
    })
}

fn a_thousand_open_connections_are_served_concurrently(context: &Context) -> Check {
    const CLIENTS: u64 = 1_000;
    let server = context.keep_alive().start()?;
    let mut clients = (0..CLIENTS)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    server.wait_until("a thousand connections open", |counts| {
        counts.open == CLIENTS
    })?;
    for round in 0..2 {
        for client in &mut clients {
            client.send(&request("shout", &format!("round {round}")))?;
        }
        for client in &mut clients {
            client.expect_reply(&format!("ROUND {round}"))?;
        }
    }
    drop(clients);
    let counts = server.settled(CLIENTS)?;
    equal("answers", &counts.answered, &(2 * CLIENTS))
}
