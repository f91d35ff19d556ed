//! The poem client in memory, on virtual time: every failure is distinguished, to the nanosecond, without waiting. Only
//! resets that arrive before the reactor polls need real sockets.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    Deferred, Failure, FetchFailure, Limits, MemoryPeer, MemoryReactor, Peer, Poem, Reactor, Task,
    get_poetry, get_poetry_with,
};
use poetry::error::Timeout;
use poetry::event::Unobserved;
use poetry::{Clock, Reporter, Role};

use common::run_for;

const INSTANT: Duration = Duration::from_nanos(1);

fn limits() -> Limits {
    Limits {
        poem_bytes_max: 10,
        connect_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(2),
        total_deadline: Some(Duration::from_secs(5)),
        ..Limits::default()
    }
}

/// Begins a fetch, in memory, from a peer with two addresses.
fn begin() -> (MemoryReactor, Deferred<Poem>) {
    let reactor = MemoryReactor::new();
    let reporter = Reporter::new(
        "callbacks",
        Role::PoemClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let task = Task::new(&reactor, limits(), &reporter);
    let addresses = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
    let peer = Peer::new("somewhere", addresses);
    let poem = get_poetry_with(&reactor, peer, &task);
    (reactor, poem)
}

/// Returns the server at the first address, connected.
fn connected(reactor: &MemoryReactor) -> MemoryPeer {
    let peer = reactor.dialled().remove(0);
    peer.accept();
    reactor.settle();
    peer
}

fn failure(poem: Deferred<Poem>) -> FetchFailure {
    let failure = poem.take_result().expect("a result").unwrap_err();
    failure.trap().unwrap()
}

#[test]
fn s11_a_reset_in_mid_poem_is_connection_lost() {
    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    peer.send(b"half");
    reactor.settle();
    peer.fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert!(matches!(failure(poem), FetchFailure::ConnectionLost { .. }));
    assert!(peer.is_closed());
}

#[test]
fn s11_a_poem_over_the_limit_fails_at_the_first_byte_too_many() {
    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    peer.send(b"0123456789");
    reactor.settle();
    assert!(!poem.has_fired());
    peer.send(b"0");
    reactor.settle();
    assert_eq!(failure(poem), FetchFailure::TooLong { limit: 10 });
    assert!(peer.is_closed());
}

#[test]
fn s11_idle_and_total_timeouts_are_distinguished() {
    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    reactor.advance(limits().idle_timeout - INSTANT);
    assert!(!poem.has_fired());
    reactor.advance(INSTANT);
    assert_eq!(failure(poem), FetchFailure::TimedOut(Timeout::Idle));
    assert!(peer.is_closed());

    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    for _ in 0..4 {
        reactor.advance(Duration::from_secs(1));
        peer.send(b"x");
        reactor.settle();
    }
    assert!(!poem.has_fired());
    reactor.advance(Duration::from_secs(1));
    assert_eq!(failure(poem), FetchFailure::TimedOut(Timeout::Total));
    assert!(peer.is_closed());
}

#[test]
fn s11_after_a_failed_connection_the_next_address_is_tried() {
    let (reactor, poem) = begin();
    reactor.dialled()[0].fail(ErrorKind::ConnectionRefused);
    reactor.settle();
    let second = reactor.dialled().remove(0);
    assert_eq!(second.address().port(), 2);
    reactor.advance(limits().connect_timeout - INSTANT);
    assert!(!poem.is_settled());
    reactor.advance(INSTANT);
    let failure = failure(poem);
    assert_eq!(failure, FetchFailure::connect_timed_out());
    assert!(matches!(failure, FetchFailure::ConnectionFailed { .. }));
    assert!(second.is_closed() && reactor.dialled().is_empty());
}

#[test]
fn s11_no_other_address_is_tried_after_an_established_connection() {
    let (reactor, poem) = begin();
    connected(&reactor).fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert!(reactor.dialled().is_empty());
    assert!(matches!(failure(poem), FetchFailure::ConnectionLost { .. }));
}

#[test]
fn s12_a_character_cut_in_two_is_decoded_and_invalid_utf8_is_an_error() {
    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    for half in "Ü".as_bytes().chunks(1) {
        peer.send(half);
        reactor.settle();
    }
    peer.finish();
    reactor.settle();
    assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "Ü");

    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    peer.send(b"ab\xff");
    peer.finish();
    reactor.settle();
    assert_eq!(failure(poem), FetchFailure::NotUtf8 { at: 2 });
}

#[test]
fn s1_an_empty_poem_is_a_poem() {
    let (reactor, poem) = begin();
    connected(&reactor).finish();
    reactor.settle();
    assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "");
}

#[test]
fn s14_a_cancel_closes_the_socket_at_once_before_and_after_connecting() {
    let (reactor, poem) = begin();
    let peer = reactor.dialled().remove(0);
    poem.cancel();
    reactor.settle();
    assert!(peer.is_closed() && reactor.dialled().is_empty());
    assert_eq!(failure(poem), FetchFailure::Cancelled);

    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    peer.send(b"half");
    poem.cancel();
    reactor.settle();
    assert!(peer.is_closed());
    assert_eq!(failure(poem), FetchFailure::Cancelled);
    assert_eq!(reactor.connections(), 0);
}

/// Fetches from a server that sends `sent`, then FIN if it `finishes`, and resets the connection before the reactor polls.
fn fetch_from_resetting_server(sent: &[u8], finishes: bool) -> Result<Poem, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reactor = Reactor::open().unwrap();
    let poem = get_poetry(&reactor, listener.local_addr().unwrap());
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(sent).unwrap();
    if finishes {
        server.shutdown(Shutdown::Write).unwrap();
    }
    let reset = Some(Duration::ZERO);
    socket2::SockRef::from(&server).set_linger(reset).unwrap();
    drop(server);
    run_for(&reactor, poem)
}

#[cfg(target_os = "linux")]
#[test]
fn s1_a_poem_that_ended_before_an_unseen_reset_has_arrived() {
    let poem = fetch_from_resetting_server(b"whole", true).unwrap();
    assert_eq!(poem.as_str(), "whole");
}

#[test]
fn s11_a_connection_established_and_reset_before_the_reactor_polls_is_lost() {
    for sent in ["", "half a po"] {
        let failure = fetch_from_resetting_server(sent.as_bytes(), false).unwrap_err();
        let failure = failure.downcast_ref::<FetchFailure>();
        assert!(matches!(failure, Some(FetchFailure::ConnectionLost { .. })));
    }
}
