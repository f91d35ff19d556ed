//! What a transform server counts (S23) and tells (S22): exactly what a client has done to it.

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
    a_server_that_did_nothing_has_counted_nothing [S23] needs [Counters],
    bytes_requests_and_connections_are_counted_exactly [S23] needs [Counters KeepAlive],
    every_refusal_is_counted_under_its_reason [S23] needs [Counters KeepAlive],
    counts_add_up_and_never_go_back_while_it_runs [S23] needs [Counters KeepAlive],
    the_last_counts_are_those_of_the_whole_life [S23] needs [Counters KeepAlive Signals],
    events_tell_of_every_byte_and_request_that_is_counted [S23] needs [Counters Events KeepAlive],
    a_connection_s_events_come_in_order_and_name_both_ends [S22] needs [Events],
    an_observer_is_told_only_what_it_asked_for [S22] needs [Events KeepAlive],
    replies_to_what_came_together_leave_together [S5] needs [Events KeepAlive],
    a_thousand_connections_are_open_and_served_at_once [S16 S23] needs [Counters KeepAlive ManyConnections],
}

fn a_server_that_did_nothing_has_counted_nothing(context: &Context) -> Check {
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
    };
    equal("the refusals", &counts.refused, &each)?;
    equal("connections closed as refused", &counts.closed.refused, &7)
}

fn counts_add_up_and_never_go_back_while_it_runs(context: &Context) -> Check {
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
        let forward = fields(&last)
            .iter()
            .zip(fields(&counts))
            .all(|(&old, new)| old <= new);
        ensure(forward, || {
            format!("expected counts that do not go back, came {counts:?} after {last:?}")
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

fn the_last_counts_are_those_of_the_whole_life(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&[request("shout", "one"), netstring("none")].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let before = server.settled(1)?;
    let stopped = server.stop(std::time::Duration::ZERO)?;
    equal("the last counts", stopped.counts()?, &before)
}

fn events_tell_of_every_byte_and_request_that_is_counted(context: &Context) -> Check {
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
        "bytes read by the events",
        &bytes_read(&events),
        &counts.bytes_in,
    )?;
    equal(
        "bytes written by the events",
        &bytes_written(&events),
        &counts.bytes_out,
    )?;
    let answered = events.iter().fold(0, |sum, event| match event.kind {
        Kind::Answered { requests } => sum + requests,
        _ => sum,
    });
    equal("answers by the events", &answered, &3)
}

fn a_connection_s_events_come_in_order_and_name_both_ends(context: &Context) -> Check {
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
        format!("expected accepted, read, wrote, answered, closed, came {events:?}")
    })?;
    for event in &events {
        equal(
            "the ends named",
            &(event.scene.local, event.scene.peer),
            &ends,
        )?;
        equal("the program named", &event.role, &Program::TransformServer)?;
        equal("the model named", &&*event.model, &context.subject())?;
    }
    let stamps: Vec<_> = events.iter().map(|event| event.at).collect();
    ensure(stamps.is_sorted(), || {
        format!("expected stamps that do not go back, came {stamps:?}")
    })
}

fn an_observer_is_told_only_what_it_asked_for(context: &Context) -> Check {
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
        "what was told",
        &kinds,
        &vec![Kind::Refused(poetry::Refusal::NoDot)],
    )
}

fn replies_to_what_came_together_leave_together(context: &Context) -> Check {
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
        format!("expected one write a read, came {writes} for {reads}")
    })
}

fn a_thousand_connections_are_open_and_served_at_once(context: &Context) -> Check {
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
