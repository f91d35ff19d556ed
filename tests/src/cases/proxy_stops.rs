//! Stopping a proxy (S21): clients that wait for its fetch are in flight.

use std::time::Duration;

use poetry::Limits;

use super::proxy_shares::{expect_poem, fetching, serve, waiting};
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::fake_servers::Listener;
use crate::running::{Stopping, wait_until_refused};

cases! { Proxy:
    clients_that_wait_are_served_within_the_grace [S9 S21] needs [Signals Counters Limits],
    clients_that_wait_are_reset_after_the_grace [S9 S21] needs [Signals Counters],
    a_client_that_leaves_during_the_grace_ends_the_fetch [S9 S21] needs [Signals Counters Limits],
    a_fetch_that_fails_during_the_grace_resets_its_clients [S9 S21] needs [Signals Counters Limits],
    dropping_a_proxy_ends_its_fetch_and_its_connections [S9 S21] needs [Counters],
}

/// Longer than a case runs: a server that waits for it needlessly fails its case.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(200);

/// A proxy that begins to stop while `count` clients wait for its fetch.
struct Stops {
    stopping: Stopping,
    clients: Vec<Connection>,
    fetch: Connection,
}

fn stops_while_clients_wait(context: &Context, count: u64) -> Check<Stops> {
    let upstream = Listener::new()?;
    let full = |limits: &mut Limits| limits.connections_max = count as usize;
    let server = context.proxy(upstream.address()).limits(full).start()?;
    let clients = waiting(&server, count)?;
    let fetch = upstream.accept()?;
    // It waits in the backlog. Once it is closed, the shutdown has begun.
    let mut canary = server.connect()?;
    let stopping = server.begin_stop(LONG);
    canary.expect_closed()?;
    Ok(Stops {
        stopping,
        clients,
        fetch,
    })
}

fn clients_that_wait_are_served_within_the_grace(context: &Context) -> Check {
    let Stops {
        stopping,
        mut clients,
        fetch,
    } = stops_while_clients_wait(context, 3)?;
    serve(fetch, "in time")?;
    expect_poem(&mut clients, "in time")?;
    drop(clients);
    let stopped = stopping.finish()?;
    // The canary shows only that the listener has closed, so it is not known how many clients waited when each thread noticed
    // the stop.
    equal("whether any was cut", &stopped.any_cut, &false)?;
    equal("poems served", &stopped.counts()?.answered, &3)
}

fn clients_that_wait_are_reset_after_the_grace(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 3)?;
    fetch.send(b"half a ")?;
    let stopped = server.stop(SHORT)?;
    for client in &mut clients {
        client.expect_reset_without_a_byte()?;
    }
    fetch.expect_closed()?;
    stopped.expect(0, 3)?;
    let counts = stopped.counts()?;
    let actual = (counts.closed.cut, counts.failed, counts.fetches.cancelled);
    equal(
        "connections cut, requests failed, fetches cancelled",
        &actual,
        &(3, 3, 1),
    )
}

fn a_client_that_leaves_during_the_grace_ends_the_fetch(context: &Context) -> Check {
    let Stops {
        stopping,
        mut clients,
        mut fetch,
    } = stops_while_clients_wait(context, 1)?;
    clients.remove(0).reset()?;
    fetch.expect_closed()?;
    let stopped = stopping.finish()?;
    equal("whether any was cut", &stopped.any_cut, &false)?;
    let counts = stopped.counts()?;
    let actual = (counts.closed.reset, counts.fetches.cancelled);
    equal("clients reset, fetches cancelled", &actual, &(1, 1))
}

fn a_fetch_that_fails_during_the_grace_resets_its_clients(context: &Context) -> Check {
    let Stops {
        stopping,
        mut clients,
        fetch,
    } = stops_while_clients_wait(context, 2)?;
    fetch.reset()?;
    for client in &mut clients {
        client.expect_reset_without_a_byte()?;
    }
    let stopped = stopping.finish()?;
    equal("whether any was cut", &stopped.any_cut, &false)?;
    let counts = stopped.counts()?;
    let actual = (counts.closed.upstream, counts.fetches.failed);
    equal("closed for the upstream, fetches failed", &actual, &(2, 1))
}

fn dropping_a_proxy_ends_its_fetch_and_its_connections(context: &Context) -> Check {
    let upstream = Listener::new()?;
    let (server, mut clients, mut fetch) = fetching(context, &upstream, 2)?;
    let address = server.address();
    drop(server);
    for client in &mut clients {
        client.expect_closed()?;
    }
    fetch.expect_closed()?;
    wait_until_refused(address)
}
