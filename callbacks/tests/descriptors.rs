//! Clients short of descriptors (S15), in memory: a fetch waits for a descriptor of its own, and the first to wait is the
//! first to get one.

mod common;

use std::rc::Rc;
use std::sync::Arc;

use callbacks::{
    Deferred, FetchFailure, Limits, MemoryReactor, Peer, Poem, Reporter, Role, Task, Unobserved,
    Via, event::Clock, get_poetry_with, transform_with,
};
use poetry::limits::ACCEPT_RETRY;

use common::{SECOND, result, unhandled};

/// A reactor that may have `sockets` connections, and the task of its fetches.
fn with_sockets(sockets: usize) -> (MemoryReactor, Rc<Task>) {
    let reactor = MemoryReactor::new();
    reactor.limit_sockets(sockets);
    let limits = Limits {
        connect_timeout: SECOND,
        ..Limits::default()
    };
    let clock = Clock::stopped();
    let reporter = Reporter::new("callbacks", Role::PoemClient, clock, Arc::new(Unobserved));
    let task = Task::new(&reactor, limits, &reporter);
    (reactor, task)
}

fn fetch(reactor: &MemoryReactor, task: &Rc<Task>) -> Deferred<Poem> {
    get_poetry_with(reactor, "10001".parse::<Peer>().unwrap(), task)
}

/// Serves `poem` to the one connection that was dialled since the last call.
fn serve_one(reactor: &MemoryReactor, poem: &str) {
    let mut dialled = reactor.dialled();
    assert_eq!(dialled.len(), 1, "connections begun");
    let server = dialled.remove(0);
    server.accept();
    server.send(poem.as_bytes());
    server.finish();
    reactor.settle();
}

#[test]
fn s15_a_fetch_waits_until_another_one_ends_however_long_that_takes() {
    let (reactor, task) = with_sockets(1);
    let fetches: Vec<_> = (0..4).map(|_| fetch(&reactor, &task)).collect();
    let server = reactor.dialled().remove(0);
    server.accept();
    for _ in 0..5 {
        server.send(b"x");
        reactor.advance(SECOND * 10);
    }
    assert!(fetches.iter().all(|fetch| !fetch.is_settled()));
    server.finish();
    reactor.settle();
    for poem in ["one", "two", "three"] {
        serve_one(&reactor, poem);
    }
    let poems = fetches.into_iter().map(|fetch| result(fetch).unwrap());
    assert_eq!(
        poems.map(String::from).collect::<Vec<_>>(),
        ["xxxxx", "one", "two", "three"]
    );
}

#[test]
fn s15_without_another_connection_a_fetch_tries_again_until_the_connect_timeout() {
    let (reactor, task) = with_sockets(0);
    let (fails, cancelled) = (fetch(&reactor, &task), fetch(&reactor, &task));
    reactor.advance(SECOND / 2);
    assert!(!fails.is_settled());
    cancelled.cancel();
    assert_eq!(result(cancelled).unwrap_err(), "cancelled");
    reactor.advance(SECOND);
    let failure = fails.take_result().unwrap().unwrap_err();
    let failure = failure.trap::<FetchFailure>().unwrap();
    assert!(matches!(failure, FetchFailure::ConnectionFailed { .. }));

    let arrives = fetch(&reactor, &task);
    reactor.advance(SECOND / 2);
    reactor.limit_sockets(1);
    reactor.advance(ACCEPT_RETRY);
    serve_one(&reactor, "a poem");
    assert_eq!(result(arrives).unwrap().as_str(), "a poem");
}

#[test]
fn s15_a_transform_waits_for_a_descriptor_too() {
    let (reactor, task) = with_sockets(1);
    let poem = fetch(&reactor, &task);
    let via = Via {
        transform: "shout".to_owned(),
        peer: "10002".parse().unwrap(),
    };
    let shouted = transform_with(&reactor, &via, &"ahoy".into(), &task);
    serve_one(&reactor, "a poem");
    let server = reactor.dialled().remove(0);
    server.accept();
    server.send(b"4:AHOY,");
    reactor.settle();
    assert_eq!(result(poem).unwrap().as_str(), "a poem");
    assert_eq!(result(shouted).unwrap().as_str(), "AHOY");
}

#[test]
fn s15_fetches_that_wait_when_the_reactor_ends_are_abandoned() {
    let reported = unhandled();
    let (reactor, task) = with_sockets(0);
    let waits = fetch(&reactor, &task);
    drop(reactor);
    assert!(waits.is_settled());
    drop(waits);
    // A failure of S11, so it is reported.
    assert_eq!(reported.get(), 1);
}
