//! How the connections of one thread share it (S24). The cases count requests in the order of the events, so neither
//! the clock nor the load on the machine affects a verdict.

use std::collections::BTreeMap;

use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::{Event, Kind};

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};

cases! { TransformServer LibraryServer:
    pipelining_clients_of_one_thread_take_turns [S24] needs [Events KeepAlive],
    a_client_that_waits_for_each_reply_is_not_held_up_by_pipeliners [S24] needs [Events KeepAlive],
}

/// The smallest reply. Its request has 9 bytes.
const REPLY: &[u8] = b"0:,";
const TURN: u64 = REQUESTS_PER_TURN_MAX as u64;
const PIPELINERS: usize = 4;
/// Requests of each pipeliner: many turns, yet so few bytes that the kernel buffers all requests and all replies, and
/// every pipeliner is ready from its accept to its last answer.
const PIPELINED: u64 = 40 * TURN;

/// Connects the pipeliners and sends all their requests.
fn pipeliners(server: std::net::SocketAddr, request: &[u8]) -> Check<Vec<Connection>> {
    let requests = request.repeat(PIPELINED as usize);
    let connect = |_| {
        let mut client = Connection::open(server)?;
        client.send(&requests)?;
        Ok(client)
    };
    (0..PIPELINERS).map(connect).collect()
}

/// Between two answers to one pipeliner, each of the others that share its thread is answered at most a turn of
/// requests; between its accept and its first answer, at most two turns.
fn pipelining_clients_of_one_thread_take_turns(context: &Context) -> Check {
    let request = context.request("");
    let (setup, address) = context.keep_alive().listening()?;
    let _clients = pipeliners(address, &request)?;
    let server = setup.start()?;
    let total = PIPELINED * PIPELINERS as u64;
    let events = server
        .journal()
        .wait_for("every request answered", |events| {
            answered_in_all(events) == total
        })?;
    for task in 0..PIPELINERS as u64 {
        for wait in waits(&events, task)? {
            let turns = if wait.is_first { 2 } else { 1 };
            expect_turns(&wait.others, turns, || {
                format!("connection {task} waited for an answer")
            })?;
        }
    }
    Ok(())
}

/// From each request of a client that waits for its replies until the answer, each pipeliner that shares its thread is
/// answered at most two turns of requests.
fn a_client_that_waits_for_each_reply_is_not_held_up_by_pipeliners(context: &Context) -> Check {
    const REPLIES: usize = 10;
    let request = context.request("");
    let (setup, address) = context.keep_alive().listening()?;
    let _clients = pipeliners(address, &request)?;
    let mut waiting = Connection::open(address)?;
    waiting.send(&request)?;
    let server = setup.start()?;
    // The first request was ready at the accept, the others when they were sent.
    let mut ready_at = vec![0];
    for _ in 1..REPLIES {
        equal("the reply", &waiting.receive(REPLY.len())?, &REPLY.to_vec())?;
        waiting.send(&request)?;
        ready_at.push(server.journal().events().len());
    }
    let total = PIPELINED * PIPELINERS as u64 + REPLIES as u64;
    let events = server
        .journal()
        .wait_for("every request answered", |events| {
            answered_in_all(events) == total
        })?;
    let task = PIPELINERS as u64;
    let waits = waits(&events, task)?;
    equal(
        "the number of answers to the waiting client",
        &waits.len(),
        &REPLIES,
    )?;
    for (wait, ready_at) in waits.iter().zip(ready_at) {
        // The answer may already be in the journal when `ready_at` is taken.
        let since = ready_at.max(wait.begin).min(wait.end);
        let others = answered_by_others(&events[since..wait.end], task, wait.worker);
        expect_turns(&others, 2, || {
            format!("the waiting client waited for its answer from event {since} on")
        })?;
    }
    Ok(())
}

fn expect_turns(others: &BTreeMap<u64, u64>, turns: u64, during: impl Fn() -> String) -> Check {
    for (other, &answered) in others {
        ensure(answered <= turns * TURN, || {
            format!(
                "while {}, expected at most {} answers to connection {other}, got {answered}",
                during(),
                turns * TURN
            )
        })?;
    }
    Ok(())
}

/// The time between two answers to a connection, or between its accept and its first answer.
struct Wait {
    is_first: bool,
    worker: u32,
    /// The index of the event after the one that begins the wait, and of the answer that ends it.
    begin: usize,
    end: usize,
    /// Meanwhile, the answers to each other connection of the same thread.
    others: BTreeMap<u64, u64>,
}

/// Every wait of the connection `task`, in order.
fn waits(events: &[Event], task: u64) -> Check<Vec<Wait>> {
    let mut waits = Vec::new();
    let mut begin = None;
    for (at, event) in events.iter().enumerate() {
        if event.scene.task != task {
            continue;
        }
        match event.kind {
            Kind::Accepted => begin = Some(at + 1),
            Kind::Answered { .. } => {
                let worker = event.scene.worker;
                let since = begin.unwrap_or(at);
                waits.push(Wait {
                    is_first: waits.is_empty(),
                    worker,
                    begin: since,
                    end: at,
                    others: answered_by_others(&events[since..at], task, worker),
                });
                begin = Some(at + 1);
            }
            _ => {}
        }
    }
    ensure(!waits.is_empty(), || {
        format!("expected answers to connection {task}, got none")
    })?;
    Ok(waits)
}

fn answered_by_others(events: &[Event], task: u64, worker: u32) -> BTreeMap<u64, u64> {
    let mut answered = BTreeMap::new();
    let of_thread = events.iter().filter(|event| event.scene.worker == worker);
    for event in of_thread.filter(|event| event.scene.task != task) {
        if let Kind::Answered { requests } = event.kind {
            *answered.entry(event.scene.task).or_default() += requests;
        }
    }
    answered
}

fn answered_in_all(events: &[Event]) -> u64 {
    events.iter().fold(0, |sum, event| match event.kind {
        Kind::Answered { requests } => sum + requests,
        _ => sum,
    })
}
