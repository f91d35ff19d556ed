//! Many connections at once (S16).

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::connection::Connection;
use crate::failure::{Check, equal, same_bytes};
use crate::faults::guest::Guest;
use crate::faults::{Content, Daemon, FaultContext, FaultRole, Observed, fault_cases, process};

fault_cases! {
    "bursts of connections":
    answers_five_hundred_that_connected_while_it_was_stopped [S16] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    answers_ten_thousand_at_once [S16] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux Long],
    "connections beyond the limit":
    makes_connections_beyond_its_limit_wait [S16] for [PoemServer TransformServer LibraryServer Proxy],
}

fn answers_five_hundred_that_connected_while_it_was_stopped(
    context: &FaultContext,
) -> Check<Observed> {
    const CLIENTS: usize = 500;
    let server = context.server(Content::Quick).start()?;
    server.signal(Signal::SIGSTOP)?;
    process::wait_until_stopped(server.id(), server.patience())?;
    let clients = connect(&server, CLIENTS)?;
    server.signal(Signal::SIGCONT)?;
    let counts = all_answered(&server, clients)?;
    server.stop()?;
    Ok(counts)
}

fn answers_ten_thousand_at_once(context: &FaultContext) -> Check<Observed> {
    const CLIENTS: usize = 10_000;
    let server = context.server(Content::Quick).start()?;
    let clients = connect(&server, CLIENTS)?;
    let counts = all_answered(&server, clients)?;
    server.stop()?;
    Ok(counts)
}

fn connect(server: &Daemon, count: usize) -> Check<Vec<Connection>> {
    let connect = |_| {
        let mut client = server.connect()?;
        client.send(&server.question())?;
        Ok(client)
    };
    (0..count).map(connect).collect()
}

fn all_answered(server: &Daemon, mut clients: Vec<Connection>) -> Check<Observed> {
    let (count, answer) = (clients.len(), server.answer());
    for client in &mut clients {
        let received = client.receive(answer.len())?;
        same_bytes("the answer", &received, &answer)?;
    }
    drop(clients);
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        equal("requests answered", &counts.answered, &(count as u64))?;
    }
    Ok(Observed::that(format!("{count} clients were answered")).closed(counts.as_ref()))
}

fn makes_connections_beyond_its_limit_wait(context: &FaultContext) -> Check<Observed> {
    const LIMIT: usize = 10;
    const BEYOND: usize = 5;
    let server = context
        .server(Content::Lasting)
        .limits(|limits| limits.connections_max = LIMIT)
        .start()?;
    let connect = |count: usize| {
        (0..count)
            .map(|_| server.guest())
            .collect::<Check<Vec<_>>>()
    };
    let mut inside: Vec<Guest> = connect(LIMIT)?;
    server.wait_until("the connections of the limit", |counts| {
        counts.accepted == LIMIT as u64
    })?;
    let mut beyond = connect(BEYOND)?;
    // A proxy's guest is served only to its end.
    if context.role() != FaultRole::Proxy {
        inside.iter_mut().try_for_each(Guest::is_served)?;
    }
    // That a server does not accept cannot be awaited. A wrong one that is slow may pass; a right one never fails.
    thread::sleep(Duration::from_millis(100));
    let counts = server.counts()?;
    if let Some(counts) = &counts {
        equal(
            "connections open at the limit",
            &counts.open,
            &(LIMIT as u64),
        )?;
    }
    inside.drain(..BEYOND);
    beyond.iter_mut().try_for_each(Guest::is_served)?;
    drop((inside, beyond));
    server.settled()?;
    server.stop()?;
    Ok(Observed::that(format!(
        "{LIMIT} clients were served, the most allowed at once"
    ))
    .and(format!(
        "{BEYOND} more waited, and were served when others left"
    )))
}
