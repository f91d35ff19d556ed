//! Peers that reset their connection (S19, S11).

use nix::sys::signal::Signal;

use crate::WAIT_MAX;
use crate::connection::Connection;
use crate::failure::{Check, Failure, equal};
use crate::fake_servers::{FakeServer, Listener, Serves};
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases, process};

fault_cases! {
    "resets at any moment":
    survives_a_reset_at_every_moment [S19] for [PoemServer TransformServer LibraryServer Proxy],
    "resets before a connection is accepted":
    survives_resets_before_it_accepts [S19] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    "servers that reset":
    reports_a_poem_as_lost_only_if_the_reset_came_before_its_end [S11] for [Client] marks [Linux],
}

fn survives_a_reset_at_every_moment(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 150;
    let server = context.server(Content::Quick).start()?;
    let question = server.question();
    for number in 0..PEERS {
        let mut peer = server.connect()?;
        let moment = number % 5;
        if moment >= 1 {
            peer.send(&question[..question.len() / 2])?;
        }
        if moment >= 2 {
            peer.send(&question[question.len() / 2..])?;
        }
        if moment == 3 {
            peer.receive(1)?;
        }
        if moment == 4 {
            peer.half_close()?;
        }
        peer.reset()?;
    }
    serves_after_all_resets(&server)?;
    server.stop()?;
    Ok(Observed::that("served on").and("no connection stayed open"))
}

/// Expects that a new client is served once the server has noticed every reset.
fn serves_after_all_resets(server: &Daemon) -> Check {
    server.settled()?;
    server.serves()?;
    server.settled().map(drop)
}

fn survives_resets_before_it_accepts(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 100;
    let server = context.server(Content::Quick).start()?;
    server.signal(Signal::SIGSTOP)?;
    process::wait_until_stopped(server.id(), server.patience())?;
    let question = server.question();
    let mut clients = Vec::new();
    for number in 0..PEERS {
        let mut peer = server.connect()?;
        if number % 2 == 0 {
            peer.send(&question)?;
        }
        peer.reset()?;
        if number % 10 == 0 {
            let mut client = server.connect()?;
            client.send(&question)?;
            clients.push(client);
        }
    }
    server.signal(Signal::SIGCONT)?;
    let answer = server.answer();
    for client in &mut clients {
        let received = client.receive(answer.len())?;
        crate::failure::same_bytes("the answer", &received, &answer)?;
    }
    drop(clients);
    serves_after_all_resets(&server)?;
    server.stop()?;
    Ok(Observed::that("the clients between them were served").and("no connection stayed open"))
}

fn reports_a_poem_as_lost_only_if_the_reset_came_before_its_end(
    context: &FaultContext,
) -> Check<Observed> {
    let servers = [Listener::new()?, Listener::new()?, Listener::new()?];
    let good = FakeServer::start(Serves(b"A poem.\n".to_vec()))?;
    let mut fetch = context.fetch().json();
    for server in &servers {
        fetch = fetch.from(server.address());
    }
    let mut fetching = fetch.from(good.address()).start()?;
    let accepted = servers.iter().map(Listener::accept);
    let mut connections: Vec<Connection> = accepted.collect::<Check<_>>()?;
    for connection in &mut connections[1..] {
        // It has begun to read: a reset while it still connects is another case.
        connection.send(BEGINNING)?;
        process::wait_until_read(connection.peer()?, connection.local()?, WAIT_MAX)?;
    }
    // It looks at its connections only after all of this has happened.
    fetching.signal(Signal::SIGSTOP)?;
    process::wait_until_stopped(fetching.id(), WAIT_MAX)?;
    let [at_once, mid_poem, complete] = <[Connection; 3]>::try_from(connections)
        .map_err(|_| Failure::broken("expected three connections"))?;
    at_once.reset()?;
    reset_after(mid_poem, false)?;
    reset_after(complete, true)?;
    fetching.signal(Signal::SIGCONT)?;
    let fetched = fetching.end()?;
    let statuses = fetched.statuses()?.join(", ");
    let expected = "connection_lost, connection_lost, arrived, arrived";
    equal("the outcomes", &statuses.as_str(), &expected)?;
    Ok(Observed::that("reset without FIN: lost")
        .and("complete, FIN, then reset: arrived")
        .and("the other poem arrived"))
}

/// The beginning of the poems that are reset.
const BEGINNING: &[u8] = b"A poem that is reset,\n";

/// Sends the rest of a poem, perhaps FIN, and then RST. The kernel delivers them one after another.
fn reset_after(mut connection: Connection, complete: bool) -> Check {
    connection.send(b"or is it?\n")?;
    match complete {
        true => connection.finish_and_reset(),
        false => connection.reset(),
    }
}
