//! A proxy of several reactors over real sockets: its clients share one fetch and one cache (S9), and the first reactor
//! outlives what the others need it for (S21).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbacks::{Callbacks, ProxyService, Unobserved};
use poetry::{Clock, Counts, Model, Options, Server, Service};

const THREADS: usize = 3;
const CLIENTS: u64 = 12;
/// The longest wait for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn start(ttl: Option<Duration>) -> (Box<dyn Server>, TcpListener) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(THREADS).unwrap();
    let service = Service::Proxy(ProxyService {
        upstream: upstream.local_addr().unwrap().into(),
        ttl,
    });
    let server = Callbacks.serve(listener, service, &options, Arc::new(Unobserved));
    (server.unwrap(), upstream)
}

fn wait_until(server: &dyn Server, what: &str, holds: impl Fn(&Counts) -> bool) {
    let begun = Instant::now();
    while !holds(&server.counters()) {
        assert!(
            begun.elapsed() < WAIT_MAX,
            "no {what}: {:?}",
            server.counters()
        );
        std::thread::yield_now();
    }
}

/// Connects clients until all of them wait for the fetch.
fn waiting(server: &dyn Server) -> Vec<TcpStream> {
    let before = server.counters().in_flight;
    let clients = (0..CLIENTS).map(|_| connect(server)).collect();
    wait_until(server, "waiting clients", |counts| {
        counts.in_flight == before + CLIENTS
    });
    clients
}

fn connect(server: &dyn Server) -> TcpStream {
    let client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(WAIT_MAX)).unwrap();
    client
}

fn accept(upstream: &TcpListener) -> TcpStream {
    let (fetch, _) = upstream.accept().unwrap();
    fetch.set_read_timeout(Some(WAIT_MAX)).unwrap();
    fetch
}

/// Serves the poem of `fetch`, which `clients` wait for.
fn serve(mut fetch: TcpStream, clients: Vec<TcpStream>) {
    fetch.write_all(b"a poem").unwrap();
    drop(fetch);
    let poems: Vec<_> = clients.into_iter().map(received).collect();
    assert!(poems.iter().all(|poem| poem == b"a poem"));
}

fn received(mut client: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

fn is_reset(mut client: TcpStream) -> bool {
    let read = client.read(&mut [0; 9]);
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn s9_the_clients_of_all_reactors_share_one_fetch_and_one_cache() {
    let (server, upstream) = start(None);
    let clients = waiting(&*server);
    serve(accept(&upstream), clients);
    for _ in 0..CLIENTS {
        assert_eq!(received(connect(&*server)), b"a poem");
    }
    let summary = server.shutdown(WAIT_MAX);
    let fetches = summary.counters.fetches;
    assert_eq!((fetches.begun, fetches.cached), (1, 1));
    assert_eq!(summary.counters.answered, 2 * CLIENTS);
}

#[test]
fn s9_the_last_client_of_all_reactors_cancels_the_fetch() {
    let (server, upstream) = start(None);
    for round in 1..=20 {
        let clients = waiting(&*server);
        let mut fetch = accept(&upstream);
        let (last, others) = clients.split_last().unwrap();
        for (number, client) in others.iter().enumerate() {
            client.shutdown(Shutdown::Write).unwrap();
            let left = CLIENTS - 1 - number as u64;
            wait_until(&*server, "client that left", |counts| counts.open == left);
        }
        assert_eq!(server.counters().fetches.cancelled, round - 1);
        last.shutdown(Shutdown::Write).unwrap();
        assert_eq!(fetch.read(&mut [0]).unwrap(), 0, "the fetch goes on");
        wait_until(&*server, "cancelled fetch", |counts| {
            counts.fetches.cancelled == round
        });
    }
    let clients = waiting(&*server);
    serve(accept(&upstream), clients);
    assert_eq!(server.counters().fetches.begun, 21);
}

#[test]
fn s9_a_failed_fetch_resets_the_clients_of_all_reactors() {
    let (server, upstream) = start(None);
    let clients = waiting(&*server);
    drop(accept(&upstream)); // An empty poem.
    assert!(clients.into_iter().all(is_reset));
    let counts = server.counters();
    assert_eq!(
        (counts.fetches.failed, counts.closed.upstream),
        (1, CLIENTS)
    );
}

#[test]
fn s9_a_time_to_live_ends_in_all_reactors_at_once() {
    let (server, upstream) = start(Some(Duration::ZERO));
    for _ in 0..5 {
        let clients = waiting(&*server);
        serve(accept(&upstream), clients);
    }
    assert_eq!(server.counters().fetches.begun, 5);
}

#[test]
fn s21_clients_that_wait_in_any_reactor_are_served_within_the_grace() {
    let (server, upstream) = start(None);
    let clients = waiting(&*server);
    let fetch = accept(&upstream);
    let address = server.address();
    let stopping = std::thread::spawn(move || server.shutdown(WAIT_MAX));
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < WAIT_MAX, "still accepts");
    }
    serve(fetch, clients);
    let summary = stopping.join().unwrap();
    assert_eq!(summary.cut, 0);
    // A connection that only asked whether the server still accepts may have come in time, and got the poem too.
    assert!(summary.counters.answered >= CLIENTS);
    summary.counters.check().unwrap();
}

#[test]
fn s21_clients_that_wait_in_any_reactor_are_reset_when_the_grace_is_over() {
    let (server, upstream) = start(None);
    let clients = waiting(&*server);
    let mut fetch = accept(&upstream);
    let summary = server.shutdown(Duration::from_millis(50));
    assert!(clients.into_iter().all(is_reset));
    assert_eq!(fetch.read(&mut [0]).unwrap(), 0, "the fetch goes on");
    let counts = summary.counters;
    assert_eq!((summary.cut, counts.closed.cut), (CLIENTS, CLIENTS));
    assert_eq!(counts.fetches.cancelled, 1);
    assert_eq!((counts.open, counts.in_flight), (0, 0));
}
