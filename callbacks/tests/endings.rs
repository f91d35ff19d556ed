//! How a reactor ends (R5), what its handles do afterwards, and what panics in unusual places cost (R4).

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    Accepted, Acceptor, Address, Callbacks, Deferred, Factory, Lost, MemoryReactor, Phase,
    Producer, Protocol, Reactor, Transport, Trigger, log,
};
use poetry::event::Interest;
use poetry::{Cancel, Event, FetchRequest, Kind, Model, Observer, Options};

use common::{Journal, SECOND};

/// Notes what happens to its connections in a journal, under the factory's name.
#[derive(Clone)]
struct Notes {
    name: &'static str,
    journal: Journal,
    /// What `data_received` does.
    act: fn(&Transport),
    /// Whether it dials each peer it has lost again.
    redials: bool,
}

impl Notes {
    fn new(name: &'static str, journal: &Journal, act: fn(&Transport)) -> Rc<Self> {
        Rc::new(Self {
            name,
            journal: journal.clone(),
            act,
            redials: false,
        })
    }

    fn note(&self, what: &str) {
        self.journal.note(format!("{} {what}", self.name));
    }
}

impl Protocol for Notes {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) {
        (self.act)(transport);
    }

    fn shut_down(&mut self, _: &Transport) {
        self.note("shut down");
    }

    fn connection_lost(&mut self, transport: &Transport, _: Lost) {
        self.note("lost");
        if self.redials {
            let again = Rc::new(self.clone());
            drop(
                transport
                    .reactor()
                    .connect_tcp(transport.peer(), SECOND, again),
            );
        }
    }
}

impl Factory for Notes {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self.clone()))
    }

    fn connection_failed(&self, _: SocketAddr, _: io::Error) {
        self.note("failed");
    }
}

fn nothing(_: &Transport) {}

fn peer_address() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[test]
fn r5_connections_end_before_the_last_phase_and_nothing_is_called_after_it() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let made = reactor.accept(&(Notes::new("made", &journal, nothing) as _));
    let being_made = Notes::new("being made", &journal, nothing);
    drop(reactor.connect_tcp(peer_address(), SECOND, being_made));
    for (phase, name) in [(Phase::After, "after"), (Phase::During, "during")] {
        let (journal, context) = (journal.clone(), Reactor::clone(&reactor));
        reactor.add_system_event_trigger(phase, move || {
            journal.note(name);
            context.call_later(Duration::ZERO, journal.later("due"));
            Deferred::succeed(())
        });
    }
    reactor.stop().unwrap();
    reactor.settle();
    let mut ended = journal.take();
    ended[1..3].sort();
    assert_eq!(ended, ["during", "being made failed", "made lost", "after"]);
    assert!(made.is_closed() && !reactor.is_running());
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn r5_calls_due_in_the_turn_of_a_stop_run_before_the_triggers() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let stops = Notes::new("peer", &journal, |transport| {
        transport.reactor().stop().unwrap()
    });
    let peer = reactor.accept(&(stops as _));
    reactor.call_later(SECOND, journal.later("due"));
    let before = journal.later("before");
    reactor.add_system_event_trigger(Phase::Before, move || {
        before();
        Deferred::succeed(())
    });
    peer.send(b"stop");
    reactor.advance(SECOND);
    assert_eq!(journal.take(), ["due", "before", "peer lost"]);
}

#[test]
fn r5_a_connection_begun_while_the_run_ends_is_closed() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let redials = Rc::new(Notes {
        redials: true,
        ..Notes::clone(&Notes::new("peer", &journal, nothing))
    });
    let peer = reactor.accept(&(redials as _));
    reactor.stop().unwrap();
    reactor.settle();
    assert_eq!(journal.take(), ["peer lost"]);
    assert!(
        peer.is_closed()
            && reactor
                .dialled()
                .iter()
                .all(callbacks::MemoryPeer::is_closed)
    );
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn r5_later_triggers_may_end_after_the_run_and_do_not_hold_up_the_next() {
    let reactor = Reactor::open().unwrap();
    let kept: Rc<RefCell<Vec<Trigger<()>>>> = Rc::default();
    for phase in [Phase::During, Phase::After] {
        let keeps = Rc::clone(&kept);
        reactor.add_system_event_trigger(phase, move || {
            let (trigger, ended) = Deferred::new();
            keeps.borrow_mut().push(trigger);
            ended
        });
    }
    for _ in 0..2 {
        let context = reactor.clone();
        reactor.call_when_running(move || context.stop().unwrap());
        reactor.run().unwrap();
        kept.take()
            .into_iter()
            .for_each(|trigger| trigger.callback(()));
    }
}

/// Without this, a protocol that redials while its reactor is dropped would keep the reactor, and itself, alive.
#[test]
fn handles_of_a_dropped_reactor_do_nothing_and_keep_nothing() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let factory = Rc::new(Notes {
        redials: true,
        ..Notes::clone(&Notes::new("peer", &journal, nothing))
    });
    reactor.accept(&(Rc::clone(&factory) as _));
    let handle = Reactor::clone(&reactor);
    drop(reactor);
    assert_eq!(journal.take(), ["peer lost"]);

    assert!(
        handle
            .connect_tcp(peer_address(), SECOND, Rc::clone(&factory) as _)
            .is_none()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(
        handle
            .listen_tcp(listener, Rc::clone(&factory) as _)
            .is_err()
    );
    let held = Rc::new(());
    let holds = || {
        let (held, handle) = (Rc::clone(&held), handle.clone());
        move || drop((held, handle))
    };
    assert!(!handle.call_later(Duration::ZERO, holds()).is_active());
    handle.call_when_running(holds());
    for phase in [Phase::Before, Phase::During, Phase::After] {
        let hold = holds();
        handle.add_system_event_trigger(phase, move || {
            hold();
            Deferred::succeed(())
        });
    }
    let hold = holds();
    let inlet = handle.inlet(move |_, ()| {
        let _ = &hold;
    });
    assert!(inlet.send(()).is_err());
    assert_eq!(
        (Rc::strong_count(&held), Rc::strong_count(&factory)),
        (1, 1)
    );
}

#[test]
fn r4_a_panic_drops_the_calling_connection_and_not_those_called_from_it() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let shuts_all_down = |transport: &Transport| {
        transport.reactor().shut_down_connections();
        panic!("after shutting all down");
    };
    log::set_hook(|_| ());
    let panicking = reactor.accept(&(Notes::new("panicking", &journal, shuts_all_down) as _));
    let other = reactor.accept(&(Notes::new("other", &journal, nothing) as _));
    panicking.send(b"x");
    reactor.settle();
    assert!(panicking.is_closed() && !other.is_closed());
    assert_eq!(journal.take(), ["other shut down"]);
}

#[test]
fn s21_the_connection_that_shuts_all_down_is_shut_down_after_its_call() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let shuts_all_down = |transport: &Transport| transport.reactor().shut_down_connections();
    let caller = reactor.accept(&(Notes::new("caller", &journal, shuts_all_down) as _));
    reactor.accept(&(Notes::new("other", &journal, nothing) as _));
    caller.send(b"x");
    reactor.settle();
    assert_eq!(journal.take(), ["other shut down", "caller shut down"]);
}

/// Panics at the second call of `has_room`.
struct PanicsOnce(Cell<u32>, Rc<Notes>);

impl Acceptor for PanicsOnce {
    fn has_room(&self) -> bool {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() != 2, "the second call");
        true
    }

    fn accepted(&self, reactor: &Reactor, accepted: Accepted) {
        reactor.adopt(accepted, &*self.1);
        if reactor.connections() == 3 {
            reactor.stop().unwrap();
        }
    }
}

#[test]
fn r4_a_port_keeps_accepting_after_its_acceptor_panics() {
    let journal = Journal::default();
    let panics = reported_panics();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let peers = [(); 3].map(|()| TcpStream::connect(to).unwrap());
    let reactor = Reactor::open().unwrap();
    let acceptor = PanicsOnce(Cell::new(0), Notes::new("peer", &journal, nothing));
    reactor.listen_with(listener, Rc::new(acceptor)).unwrap();
    reactor.run().unwrap(); // Until all three are accepted.
    assert_eq!(journal.take(), ["peer lost"; 3]);
    assert_eq!(*panics.borrow(), ["a callback panicked: the second call"]);
    drop(peers);
}

fn reported_panics() -> Rc<RefCell<Vec<String>>> {
    let reported: Rc<RefCell<Vec<String>>> = Rc::default();
    let panics = Rc::clone(&reported);
    log::set_hook(move |trouble| panics.borrow_mut().push(trouble.to_string()));
    reported
}

/// A producer and a protocol that panic when they are resumed, stopped or lost.
struct PanicsAtTheEnd;

impl Producer for PanicsAtTheEnd {
    fn pause_producing(&self) {}

    fn resume_producing(&self) {
        panic!("resumed");
    }

    fn stop_producing(&self) {
        panic!("stopped");
    }
}

impl Protocol for PanicsAtTheEnd {
    fn connection_made(&mut self, transport: &Transport) {
        transport.register_producer(Rc::new(Self));
    }

    fn data_received(&mut self, transport: &Transport, _: &[u8]) {
        transport.write(&[0; 100_000]);
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        panic!("lost");
    }
}

impl Factory for PanicsAtTheEnd {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self))
    }
}

#[test]
fn r4_panics_that_follow_a_panic_drop_the_same_connection_only() {
    let (reactor, panics) = (MemoryReactor::new(), reported_panics());
    let factory: Rc<dyn Factory> = Rc::new(PanicsAtTheEnd);
    let (peer, other) = (reactor.accept(&factory), reactor.accept(&factory));
    peer.limit_room(1);
    peer.send(b"x");
    reactor.settle();
    peer.limit_room(usize::MAX);
    reactor.settle();
    assert!(peer.is_closed() && !other.is_closed());
    let messages = ["resumed", "stopped", "lost"];
    assert_eq!(
        *panics.borrow(),
        messages.map(|message| format!("a callback panicked: {message}"))
    );
}

#[test]
fn r4_a_panic_in_the_log_hook_does_not_end_the_loop() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    log::set_hook(|_| panic!("the hook"));
    reactor.call_later(SECOND, || panic!("a timer"));
    reactor.call_later(SECOND, journal.later("the next"));
    reactor.advance(SECOND);
    assert_eq!(journal.take(), ["the next"]);
}

#[test]
fn r4_after_a_value_panics_in_its_drop_others_are_still_dropped() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let panics = reported_panics();
    drop(Deferred::succeed(PanicsWhenDropped));
    let held = Rc::new(());
    drop(Deferred::succeed(Rc::clone(&held)));
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(*panics.borrow(), ["a callback panicked: in drop"]);
}

/// Panics when it observes a failure.
struct PanicsAtFailures;

impl Observer for PanicsAtFailures {
    fn interest(&self) -> Interest {
        Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        assert!(!matches!(event.kind, Kind::Failed(_)), "a failure");
    }
}

/// If the panic kept a fetch from ending, `fetch` would never return.
#[test]
fn s20_every_fetch_has_its_outcome_although_the_observer_panics() {
    log::set_hook(|_| ());
    let refusing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let request = FetchRequest::new(refusing);
    let client = Callbacks
        .client(&Options::new(poetry::Clock::stopped()))
        .unwrap();
    let observer = Arc::new(PanicsAtFailures);
    let outcomes = client.fetch(&[request.clone(), request], observer, &Cancel::new());
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| outcome.poem.is_err()));
}
