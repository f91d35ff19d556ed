//! The poem client in memory, on virtual time: how a fetch fails is told apart to the nanosecond, and nobody waits. Over
//! real sockets only what becomes of a reset that comes before the reactor looks.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use callbacks::{Deferred, Failure, MemoryReactor, Peer, Reactor, Task, get_poetry};
use poetry::error::Timeout;
use poetry::event::Unobserved;
use poetry::{Clock, FetchFailure, Limits, Reporter, Role};

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

/// A fetch from a peer of two addresses, under way in memory.
fn begin() -> (MemoryReactor, Deferred<String>) {
    let reactor = MemoryReactor::new();
    let reporter = Reporter::new(
        "callbacks",
        Role::PoemClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let task = Task::begin(&reactor, &Rc::new(limits()), &reporter, 0, 0);
    let addresses = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
    let peer = poetry::Peer::new("somewhere", addresses);
    let poem = get_poetry(&reactor, &peer, &task);
    (reactor, poem)
}

/// The server at the first address, connected.
fn connected(reactor: &MemoryReactor) -> Peer {
    let peer = reactor.dialled().remove(0);
    peer.accept();
    reactor.settle();
    peer
}

fn failure(poem: Deferred<String>) -> FetchFailure {
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
fn s11_a_poem_too_long_is_given_up_as_soon_as_that_is_known() {
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
fn s11_silence_is_one_timeout_and_slowness_another() {
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
fn s11_a_connection_that_is_never_made_has_failed_and_the_next_address_is_tried() {
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
fn s11_no_other_address_is_tried_once_a_connection_was_made() {
    let (reactor, poem) = begin();
    connected(&reactor).fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert!(reactor.dialled().is_empty());
    assert!(matches!(failure(poem), FetchFailure::ConnectionLost { .. }));
}

#[test]
fn s12_a_character_cut_in_two_is_a_character_and_what_is_none_is_an_error() {
    let (reactor, poem) = begin();
    let peer = connected(&reactor);
    for half in "Ü".as_bytes().chunks(1) {
        peer.send(half);
        reactor.settle();
    }
    peer.finish();
    reactor.settle();
    assert_eq!(poem.take_result().unwrap().unwrap(), "Ü");

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
    assert_eq!(poem.take_result().unwrap().unwrap(), "");
}

#[test]
fn s14_a_cancel_closes_the_socket_at_once_connected_or_not() {
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

/// What comes of a poem whose server is through with it before the reactor looks: it has sent this, with FIN or without,
/// and reset the connection.
fn reset_unseen(sent: &[u8], finishes: bool) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().into();
    let reactor = Reactor::open().unwrap();
    let poem = get_poetry(&reactor, &peer, &Task::quiet(&reactor));
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(sent).unwrap();
    if finishes {
        server.shutdown(Shutdown::Write).unwrap();
    }
    let at_once = Some(Duration::ZERO);
    socket2::SockRef::from(&server).set_linger(at_once).unwrap();
    drop(server);
    let kept = Rc::new(Cell::new(None));
    let (keeps, context) = (Rc::clone(&kept), reactor.clone());
    drop(poem.add_both(move |result| {
        keeps.set(Some(result));
        Ok(context.stop()?)
    }));
    reactor.run().unwrap();
    kept.take().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn s1_a_poem_that_had_come_whole_before_a_reset_has_arrived_though_nobody_had_looked() {
    assert_eq!(reset_unseen(b"whole", true).unwrap(), "whole");
}

#[test]
fn s11_a_connection_that_was_made_and_reset_before_anybody_looked_was_lost() {
    for sent in ["", "half a po"] {
        let failure = reset_unseen(sent.as_bytes(), false).unwrap_err();
        let failure = failure.downcast_ref::<FetchFailure>();
        assert!(matches!(failure, Some(FetchFailure::ConnectionLost { .. })));
    }
}
