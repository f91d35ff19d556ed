//! How a reactor ends (R5), what is left of one that is gone, and what panics in odd places cost (R4): what programs do
//! at the worst of times, and what then holds all the same.

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

/// Notes in a journal what happens to its connections, each under the factory's name.
#[derive(Clone)]
struct Notes {
    name: &'static str,
    journal: Journal,
    /// What `data_received` does.
    act: fn(&Transport),
    /// Dials whom it lost, again and again.
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
        self.note("told to end");
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

fn somebody() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[test]
fn r5_connections_end_before_the_last_phase_and_nothing_is_called_back_after_it() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let made = reactor.accept(&(Notes::new("made", &journal, nothing) as _));
    let being_made = Notes::new("being made", &journal, nothing);
    drop(reactor.connect_tcp(somebody(), SECOND, being_made));
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
fn r5_what_is_due_in_the_turn_of_a_stop_runs_before_the_triggers_whoever_stops_it() {
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
fn r5_who_dials_again_when_all_is_ended_dials_nobody() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let redials = Rc::new(Notes {
        redials: true,
        ..Notes::clone(&Notes::new("peer", &journal, nothing))
    });
    let peer = reactor.accept(&(redials as _));
    reactor.stop().unwrap();
    reactor.settle();
    assert_eq!(journal.take(), ["peer lost"]);
    assert!(peer.is_closed() && reactor.dialled().iter().all(callbacks::Peer::is_closed));
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn r5_a_trigger_that_is_not_waited_for_may_end_after_the_run_and_the_next_run_ends_too() {
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

/// A protocol that dials whom it lost while the reactor is being dropped would else keep that alive, and so itself.
#[test]
fn a_reactor_that_is_gone_does_nothing_any_more_and_keeps_nothing() {
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
            .connect_tcp(somebody(), SECOND, Rc::clone(&factory) as _)
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
fn r4_a_panic_costs_the_connection_in_whose_call_it_was_though_others_were_called_from_it() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let ends_all = |transport: &Transport| {
        transport.reactor().shut_down_connections();
        panic!("after telling all");
    };
    log::set_hook(|_| ());
    let guilty = reactor.accept(&(Notes::new("guilty", &journal, ends_all) as _));
    let other = reactor.accept(&(Notes::new("other", &journal, nothing) as _));
    guilty.send(b"x");
    reactor.settle();
    assert!(guilty.is_closed() && !other.is_closed());
    assert_eq!(journal.take(), ["other told to end"]);
}

#[test]
fn s21_the_connection_in_whose_call_all_are_told_to_end_is_told_too() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let ends_all = |transport: &Transport| transport.reactor().shut_down_connections();
    let caller = reactor.accept(&(Notes::new("caller", &journal, ends_all) as _));
    reactor.accept(&(Notes::new("other", &journal, nothing) as _));
    caller.send(b"x");
    reactor.settle();
    assert_eq!(journal.take(), ["other told to end", "caller told to end"]);
}

/// Panics whenever it is asked anything.
struct PanicsTwice(Cell<u32>, Rc<Notes>);

impl Acceptor for PanicsTwice {
    fn wants_more(&self) -> bool {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() != 2, "asked for the second time");
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
fn r4_an_acceptor_that_panics_costs_no_connection_and_the_port_goes_on() {
    let journal = Journal::default();
    let panics = panics_heard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let peers = [(); 3].map(|()| TcpStream::connect(to).unwrap());
    let reactor = Reactor::open().unwrap();
    let acceptor = PanicsTwice(Cell::new(0), Notes::new("peer", &journal, nothing));
    reactor.listen_with(listener, Rc::new(acceptor)).unwrap();
    reactor.run().unwrap(); // Until all three are there.
    assert_eq!(journal.take(), ["peer lost"; 3]);
    assert_eq!(
        *panics.borrow(),
        ["a callback panicked: asked for the second time"]
    );
    drop(peers);
}

fn panics_heard() -> Rc<RefCell<Vec<String>>> {
    let heard: Rc<RefCell<Vec<String>>> = Rc::default();
    let hears = Rc::clone(&heard);
    log::set_hook(move |trouble| hears.borrow_mut().push(trouble.to_string()));
    heard
}

/// A producer, and a protocol over whose end it panics too.
struct PanicsAtTheEnd;

impl Producer for PanicsAtTheEnd {
    fn pause_producing(&self) {}

    fn resume_producing(&self) {
        panic!("asked to go on");
    }

    fn stop_producing(&self) {
        panic!("asked to stop");
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
        panic!("told that it is lost");
    }
}

impl Factory for PanicsAtTheEnd {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self))
    }
}

#[test]
fn r4_one_panic_on_top_of_another_costs_that_connection_too_and_no_more() {
    let (reactor, panics) = (MemoryReactor::new(), panics_heard());
    let factory: Rc<dyn Factory> = Rc::new(PanicsAtTheEnd);
    let (peer, other) = (reactor.accept(&factory), reactor.accept(&factory));
    peer.limit_room(1);
    peer.send(b"x");
    reactor.settle();
    peer.limit_room(usize::MAX);
    reactor.settle();
    assert!(peer.is_closed() && !other.is_closed());
    let heard = ["asked to go on", "asked to stop", "told that it is lost"];
    assert_eq!(
        *panics.borrow(),
        heard.map(|said| format!("a callback panicked: {said}"))
    );
}

#[test]
fn r4_a_hook_that_panics_over_a_panic_does_not_end_the_loop() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    log::set_hook(|_| panic!("the hook too"));
    reactor.call_later(SECOND, || panic!("a timer"));
    reactor.call_later(SECOND, journal.later("the next"));
    reactor.advance(SECOND);
    assert_eq!(journal.take(), ["the next"]);
}

#[test]
fn r4_a_value_that_panics_when_it_is_dropped_keeps_no_other_from_being_dropped() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("while it was dropped");
        }
    }
    let panics = panics_heard();
    drop(Deferred::succeed(PanicsWhenDropped));
    let held = Rc::new(());
    drop(Deferred::succeed(Rc::clone(&held)));
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(
        *panics.borrow(),
        ["a callback panicked: while it was dropped"]
    );
}

/// Panics over every failure.
struct PanicsOverFailures;

impl Observer for PanicsOverFailures {
    fn interest(&self) -> Interest {
        Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        assert!(!matches!(event.kind, Kind::Failed(_)), "a failure");
    }
}

/// Or this would never end.
#[test]
fn s20_an_observer_that_panics_costs_no_fetch_its_outcome() {
    log::set_hook(|_| ());
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let request = FetchRequest {
        peer: nobody.into(),
        via: None,
    };
    let client = Callbacks
        .client(&Options::new(poetry::Clock::stopped()))
        .unwrap();
    let observer = Arc::new(PanicsOverFailures);
    let outcomes = client.fetch(&[request.clone(), request], observer, &Cancel::new());
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| outcome.poem.is_err()));
}
