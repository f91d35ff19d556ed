//! Upstreams that fail a proxy: the waiting clients are reset, nothing is cached, and the next client starts a new fetch (S9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::connection::{Connection, End};
use crate::failure::{Check, During, Failure, ensure, equal, same_bytes};
use crate::fake_servers::{Behaviour, FakeServer, Refuses};
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases};
use crate::gate::Gate;
use crate::wire::text;

fault_cases! {
    "servers that refuse connections":
    a_refused_connection_resets_those_that_wait [S9] for [Proxy],
    "servers that reset":
    a_reset_before_the_first_byte_resets_those_that_wait [S9] for [Proxy],
    a_reset_in_the_middle_resets_those_that_wait [S9] for [Proxy],
    "servers that fall silent":
    a_silent_upstream_is_given_up_after_the_idle_timeout [S9 S15] for [Proxy],
    "empty poems":
    an_empty_poem_is_not_cached [S9] for [Proxy],
    "poems and replies over the limit":
    an_endless_poem_is_not_cached [S9 S15] for [Proxy],
    "text that is not UTF-8":
    a_poem_that_is_not_utf8_is_not_cached [S9 S12] for [Proxy],
}

const CLIENTS: usize = 5;
const POEM_BYTES: usize = 50_000;
/// Longer than a busy machine needs to send a poem.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// The proxy's limit on poems: less than what an endless upstream sends in one go.
const POEM_BYTES_MAX: usize = 100_000;

fn proxy(context: &FaultContext, upstream: std::net::SocketAddr) -> Check<Daemon> {
    let proxy = context.server(Content::Quick).upstream(upstream);
    proxy
        .limits(|limits| {
            limits.idle_timeout = IDLE_TIMEOUT;
            limits.poem_bytes_max = POEM_BYTES_MAX;
        })
        .start()
}

/// An upstream that fails every fetch in the same way, once all clients wait, until it is mended.
struct Upstream {
    fault: fn(Connection) -> Check,
    all_wait: Gate,
    is_mended: AtomicBool,
}

impl Behaviour for Arc<Upstream> {
    fn serve(&self, mut fetch: Connection) -> Check {
        if self.is_mended.load(Ordering::SeqCst) {
            return fetch.send(text(POEM_BYTES).as_bytes());
        }
        self.all_wait.pass();
        (self.fault)(fetch)
    }
}

/// Lets some clients wait for one fetch, in which the upstream does `fault`. Expects that all are reset without a byte, and that the
/// next client gets the whole poem of a new fetch.
fn fails(context: &FaultContext, fault: fn(Connection) -> Check) -> Check<Observed> {
    let upstream = Arc::new(Upstream {
        fault,
        all_wait: Gate::default(),
        is_mended: AtomicBool::new(false),
    });
    let server = FakeServer::start(Arc::clone(&upstream))?;
    let proxy = proxy(context, server.address())?;
    let clients: Vec<Connection> = (0..CLIENTS)
        .map(|_| proxy.connect())
        .collect::<Check<_>>()?;
    proxy.wait_until("all clients to wait", |counts| {
        counts.in_flight == CLIENTS as u64
    })?;
    upstream.all_wait.open();
    let observed = are_reset(clients)?;
    upstream.is_mended.store(true, Ordering::SeqCst);
    serves_the_next(&proxy)?;
    let counts = proxy.settled()?;
    if let Some(counts) = &counts {
        let closed = (counts.closed.upstream, counts.closed.done);
        let expected = (CLIENTS as u64, 1);
        equal("closed by a failed fetch, done", &closed, &expected)?;
        let fetches = (counts.fetches.failed, counts.fetches.cached);
        equal("fetches failed and cached", &fetches, &(1, 1))?;
    }
    proxy.stop()?;
    Ok(observed
        .and("the next got the poem of a new fetch")
        .closed(counts.as_ref()))
}

fn are_reset(clients: Vec<Connection>) -> Check<Observed> {
    let mut ends = Vec::new();
    for mut client in clients {
        let (bytes, end) = client.receive_to_end()?;
        same_bytes("the bytes of a waiting client", &bytes, b"")?;
        ends.push(end);
    }
    all_reset(&ends)
}

/// Connects a client, which may be reset before its connect has returned.
fn end_of_a_client(proxy: &Daemon) -> Check<End> {
    match proxy.connect() {
        Err(Failure::Broken(why)) if why.contains("Connection reset") => Ok(End::Reset),
        client => client?.expect_closed(),
    }
}

fn all_reset(ends: &[End]) -> Check<Observed> {
    ensure(!ends.contains(&End::Fin), || {
        "a waiting client was closed by FIN: it takes that for an empty poem".to_owned()
    })?;
    Ok(Observed::default().ends("waiting client", ends))
}

/// Expects that the next client gets the whole poem.
fn serves_the_next(proxy: &Daemon) -> Check {
    let mut next = proxy.connect()?;
    next.expect_last("the poem of the next client", text(POEM_BYTES).as_bytes())
}

fn a_refused_connection_resets_those_that_wait(context: &FaultContext) -> Check<Observed> {
    let refuses = Refuses::new()?;
    let proxy = proxy(context, refuses.address())?;
    let mut ends = Vec::new();
    for _ in 0..CLIENTS {
        ends.push(end_of_a_client(&proxy)?);
    }
    let observed = all_reset(&ends)?;
    let upstream = refuses.listen()?;
    let mut next = proxy.connect()?;
    let poem = text(POEM_BYTES);
    upstream.accept()?.send(poem.as_bytes())?;
    next.expect_last("the poem of the next client", poem.as_bytes())?;
    drop(next);
    let counts = proxy.settled()?;
    proxy.stop()?;
    if let Some(counts) = &counts {
        equal("fetches cached", &counts.fetches.cached, &1)?;
    }
    Ok(observed
        .and("the next got the poem of a new fetch")
        .closed(counts.as_ref()))
}

fn a_reset_before_the_first_byte_resets_those_that_wait(context: &FaultContext) -> Check<Observed> {
    fails(context, Connection::reset)
}

fn a_reset_in_the_middle_resets_those_that_wait(context: &FaultContext) -> Check<Observed> {
    fails(context, |mut fetch| {
        fetch.send(text(POEM_BYTES / 2).as_bytes())?;
        fetch.reset()
    })
}

fn an_empty_poem_is_not_cached(context: &FaultContext) -> Check<Observed> {
    fails(context, |fetch| {
        drop(fetch);
        Ok(())
    })
}

fn a_silent_upstream_is_given_up_after_the_idle_timeout(context: &FaultContext) -> Check<Observed> {
    fails(context, |mut fetch| {
        fetch.send(text(POEM_BYTES / 2).as_bytes())?;
        fetch.receive_to_end().map(drop)
    })
}

fn an_endless_poem_is_not_cached(context: &FaultContext) -> Check<Observed> {
    fails(context, |mut fetch| {
        let piece = [b'x'; 8 << 10];
        for _ in 0..10_000 {
            if fetch.try_send(&piece).is_err() {
                return Ok(());
            }
        }
        Err(Failure::broken(
            "expected the proxy to close an endless poem",
        ))
    })
}

fn a_poem_that_is_not_utf8_is_not_cached(context: &FaultContext) -> Check<Observed> {
    fails(context, |mut fetch| {
        fetch
            .send(b"na\xefve")
            .during("sending a poem that is not UTF-8")
    })
}
