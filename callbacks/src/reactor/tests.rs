//! What of the reactor is seen from within only.

use super::core::DEAD_TIMEOUTS_MAX;
use super::*;
use crate::protocol::Protocol;
use std::cell::Cell;

/// A protocol with a timeout that never comes, and the factory that builds it.
#[derive(Default)]
struct Patient {
    built: Cell<usize>,
    failures: Cell<usize>,
    panics: bool,
}

impl Protocol for Patient {
    fn connection_made(&mut self, transport: &Transport) {
        transport.set_timeout(Some(Duration::from_secs(60)));
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

impl Factory for Patient {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        self.built.set(self.built.get() + 1);
        Some(Box::new(Self::default()))
    }

    fn connection_failed(&self, _: SocketAddr, _: io::Error) {
        self.failures.set(self.failures.get() + 1);
        assert!(!self.panics, "as it was told to");
    }
}

fn somebody() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn r9_a_connection_made_in_time_has_not_failed_though_nobody_has_heard_of_it() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    for _ in 0..2 {
        drop(reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _));
    }
    reactor.settle();
    reactor.dialled()[0].accept_unheard();
    reactor.advance(SECOND);
    assert_eq!((reactor.connections(), factory.failures.get()), (1, 1));
}

#[test]
fn r9_the_time_to_connect_counts_from_the_call_and_not_from_the_turn() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    // In a turn that has taken a second until now.
    reactor.pass(SECOND);
    drop(reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _));
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (1, 0));
    reactor.advance(SECOND);
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 1));
}

#[test]
fn r9_a_connection_that_is_made_before_it_is_watched_is_heard_of() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    drop(reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _));
    reactor.dialled()[0].accept();
    reactor.settle();
    // Before the time to connect is over, at which it would be asked after.
    assert_eq!((factory.built.get(), factory.failures.get()), (1, 0));
}

#[test]
fn r9_connections_that_cannot_be_watched_have_failed_whatever_that_is_met_with() {
    for panics in [false, true] {
        let factory = Rc::new(Patient {
            panics,
            ..Patient::default()
        });
        let reactor = MemoryReactor::new();
        reactor.watch_nobody_else();
        for _ in 0..3 {
            drop(reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _));
        }
        assert_eq!(factory.failures.get(), 0, "not before the next turn");
        reactor.settle();
        assert_eq!((reactor.connections(), factory.failures.get()), (0, 3));
        assert!(reactor.dialled().iter().all(Peer::is_closed));
    }
}

#[test]
fn r9_a_connection_that_was_given_up_before_it_was_watched_is_closed() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    let begun = reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _);
    begun.unwrap().abort_connection();
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 0));
    assert!(reactor.dialled()[0].is_closed());
}

#[test]
fn a_reactor_that_is_dropped_before_it_runs_closes_what_it_has_begun() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    drop(reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _));
    let peer = reactor.dialled().remove(0);
    drop(reactor);
    assert!(peer.is_closed());
    assert_eq!(Rc::strong_count(&factory), 1);
}

#[test]
fn r1_a_call_is_not_early_though_the_turn_that_made_it_had_taken_long() {
    let (reactor, ran) = (MemoryReactor::new(), Rc::new(Cell::new(0)));
    let counts = || {
        let ran = Rc::clone(&ran);
        move || ran.set(ran.get() + 1)
    };
    let reset = reactor.call_later(SECOND, counts());
    // In a turn that has taken a second until now.
    reactor.pass(SECOND);
    drop(reactor.call_later(SECOND, counts()));
    reset.reset(SECOND).unwrap();
    reactor.settle();
    assert_eq!(ran.get(), 0);
    reactor.advance(SECOND);
    assert_eq!(ran.get(), 2);
}

#[test]
fn r1_a_call_without_delay_waits_for_the_next_turn_wherever_it_was_made() {
    let (reactor, ran) = (MemoryReactor::new(), Rc::new(Cell::new(false)));
    let (context, runs) = (Reactor::clone(&reactor), Rc::clone(&ran));
    // A call from a thread comes before what is due in its turn.
    let call = reactor.inlet(move |_, ()| {
        let runs = Rc::clone(&runs);
        drop(context.call_later(Duration::ZERO, move || runs.set(true)));
    });
    call.send(()).unwrap();
    let core = reactor.core();
    core.turn(&mut Work::new(), Some(Duration::ZERO));
    assert!(!ran.get());
    core.turn(&mut Work::new(), Some(Duration::ZERO));
    assert!(ran.get());
}

#[test]
fn r9_a_connection_that_is_aborted_before_it_cannot_be_watched_tells_nobody() {
    let (reactor, factory) = (MemoryReactor::new(), Rc::new(Patient::default()));
    reactor.watch_nobody_else();
    let begun = reactor.connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _);
    begun.unwrap().abort_connection();
    reactor.settle();
    assert_eq!((reactor.connections(), factory.failures.get()), (0, 0));
}

#[test]
fn the_place_of_a_port_that_has_stopped_is_taken_by_the_next() {
    let reactor = Reactor::open().unwrap();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        let (one, other) = (listener(), listener());
        let kept = reactor
            .listen_tcp(one, Rc::new(Patient::default()))
            .unwrap();
        reactor
            .listen_tcp(other, Rc::new(Patient::default()))
            .unwrap()
            .stop_listening();
        kept.stop_listening();
    }
    assert_eq!(reactor.core().ports.places(), 2);
}

#[test]
fn a_connection_that_is_gone_leaves_no_timeout_behind_for_long() {
    let reactor = MemoryReactor::new();
    let factory: Rc<dyn Factory> = Rc::new(Patient::default());
    for _ in 0..2_000 {
        reactor.accept(&factory).finish();
        reactor.settle();
    }
    assert_eq!(reactor.connections(), 0);
    assert!(reactor.core().timeouts.borrow().len() <= DEAD_TIMEOUTS_MAX + 1);
}
