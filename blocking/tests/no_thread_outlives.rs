//! T3: no thread outlives its server's shutdown or its client's fetch. Alone in its file, since it counts the threads of
//! its process.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blocking::Blocking;
use poetry::event::Unobserved;
use poetry::{
    Cancel, Clock, Counts, FetchRequest, Model, Options, Pace, PoemService, ProxyService, Server,
    Service, TransformService,
};

use common::listen;

const DEADLINE: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 150; // more than a server's spare threads

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn options() -> Options {
    let origin = Instant::now();
    Options::new(Clock::new(move || origin.elapsed()))
}

fn serve(model: Blocking, service: Service) -> Box<dyn Server> {
    let observer = Arc::new(Unobserved);
    model
        .serve(listen(), service, &options(), observer)
        .unwrap()
}

fn transforms() -> Service {
    Service::Transform(TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    })
}

fn slow_poem() -> Service {
    Service::Poem(PoemService {
        poem: "a poem that takes its time".into(),
        pace: Pace::Slow {
            num_bytes: NonZeroUsize::MIN,
            // So long that a thread which is not woken fails the test.
            delay: Duration::from_secs(3_600),
        },
    })
}

#[test]
fn t3_no_thread_outlives_a_shutdown_or_a_fetch() {
    let before = threads();
    for model in [
        Blocking::NEW,
        Blocking {
            pool: NonZeroUsize::new(8),
        },
    ] {
        busy_idle_and_ended(serve(model, transforms()), before);
        cut_in_mid_poem(serve(model, slow_poem()), before);
        drop(serve(model, slow_poem()));
        until_only(before);
        waiting_for_a_fetch(model, before);
    }
    fetched(before);
}

/// Some connections have ended, some are idle, some are in the middle of a request.
fn busy_idle_and_ended(server: Box<dyn Server>, before: usize) {
    let connect = || TcpStream::connect(server.address()).unwrap();
    let peers: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    for (index, mut peer) in peers.iter().enumerate().take(8) {
        peer.write_all(b"8:shout.ab,").unwrap();
        peer.read_exact(&mut [0; 5]).unwrap();
        if index % 2 == 0 {
            peer.write_all(b"8:sho").unwrap();
        }
    }
    assert!(threads() > before);
    drop(peers);
    let peers: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    server.shutdown(Duration::from_millis(20));
    until_only(before);
    drop(peers);
}

/// Every connection waits for its next chunk; one client has finished sending.
fn cut_in_mid_poem(server: Box<dyn Server>, before: usize) {
    let peers: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    for mut peer in &peers {
        peer.read_exact(&mut [0]).unwrap();
    }
    peers[0].shutdown(std::net::Shutdown::Write).unwrap();
    let summary = server.shutdown(Duration::from_millis(20));
    assert_eq!(summary.cut, 8);
    until_only(before);
}

fn fetched(before: usize) {
    let poem = Service::Poem(PoemService {
        poem: "a poem".into(),
        pace: Pace::Fast,
    });
    let server = serve(Blocking::NEW, poem);
    let request = FetchRequest::new(server.address());
    let client = Blocking::NEW.client(&options()).unwrap();
    let requests = vec![request; 100];
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.poem.as_deref() == Ok("a poem"))
    );
    server.shutdown(DEADLINE);
    until_only(before);
}

/// Some clients wait for the fetch, one has left; the upstream never answers.
fn waiting_for_a_fetch(model: Blocking, before: usize) {
    let upstream = listen();
    let service = Service::Proxy(ProxyService {
        upstream: upstream.local_addr().unwrap().into(),
        ttl: None,
    });
    let server = serve(model, service);
    let mut peers: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    let begun = Instant::now();
    let until = |reached: &dyn Fn(&Counts) -> bool| {
        while !reached(&server.counters()) {
            assert!(begun.elapsed() < DEADLINE, "{:?}", server.counters());
            std::thread::yield_now();
        }
    };
    until(&|counts| counts.requests == 8);
    peers.pop();
    until(&|counts| counts.closed.left == 1);
    assert!(threads() > before + 2 * peers.len()); // Two for each, and the one that fetches.
    let summary = server.shutdown(Duration::from_millis(20));
    assert_eq!(summary.cut, 7);
    assert_eq!(summary.counters.fetches.cancelled, 1);
    until_only(before);
}

/// Waits until there are no more threads than `before`: the kernel lists a thread for a moment after it has ended.
fn until_only(before: usize) {
    let begun = std::time::Instant::now();
    while threads() > before {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{} threads",
            threads()
        );
        std::thread::yield_now();
    }
}
