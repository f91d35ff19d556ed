//! The promises of the reactor (R1–R9), each tested by name, on the test's own clock and network wherever that will do.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Address, AlreadyRunning, Clock, Deferred, Factory, Lost, MemoryReactor, NotPending, NotRunning,
    Phase, Producer, Protocol, Reactor, Side, Transport, defer_to_thread, log,
};

const SECOND: Duration = Duration::from_secs(1);

/// Notes names in order.
#[derive(Clone, Default)]
struct Journal(Rc<RefCell<Vec<String>>>);

impl Journal {
    fn note(&self, name: impl Into<String>) {
        self.0.borrow_mut().push(name.into());
    }

    fn later(&self, name: &str) -> impl FnOnce() + 'static {
        let (journal, name) = (self.clone(), name.to_owned());
        move || journal.note(name)
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

#[test]
fn r1_calls_run_never_early_and_equal_ones_in_the_order_they_were_made() {
    let (clock, journal) = (Clock::new(), Journal::default());
    for (seconds, name) in [(2, "c"), (1, "a"), (2, "d"), (1, "b")] {
        clock.call_later(SECOND * seconds, journal.later(name));
    }
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(journal.take().is_empty());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(journal.take(), ["a", "b"]);
    clock.advance(SECOND);
    assert_eq!(journal.take(), ["c", "d"]);
}

#[test]
fn r1_a_call_without_delay_inside_a_call_waits_for_the_next_turn() {
    let (clock, journal) = (Clock::new(), Journal::default());
    let (inner, later) = (clock.clone(), journal.clone());
    clock.call_later(SECOND, move || {
        drop(inner.call_later(Duration::ZERO, later.later("next")))
    });
    clock.advance(SECOND);
    assert!(journal.take().is_empty());
    clock.advance(Duration::ZERO);
    assert_eq!(journal.take(), ["next"]);
}

#[test]
fn r2_cancel_reset_and_delay_move_a_call_and_are_errors_afterwards() {
    let (clock, journal) = (Clock::new(), Journal::default());
    let moved = clock.call_later(SECOND, journal.later("moved"));
    clock.advance(SECOND / 2);
    moved.reset(SECOND).unwrap();
    moved.delay(SECOND).unwrap();
    clock.advance(SECOND * 2 - Duration::from_nanos(1));
    assert!(moved.is_active() && journal.take().is_empty());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(journal.take(), ["moved"]);
    let earlier = clock.call_later(SECOND * 9, journal.later("earlier"));
    earlier.reset(SECOND).unwrap();
    clock.advance(SECOND);
    assert_eq!(journal.take(), ["earlier"]);
    let never = clock.call_later(SECOND, journal.later("never"));
    never.cancel().unwrap();
    for call in [moved, earlier, never] {
        assert_eq!(
            (call.cancel(), call.reset(SECOND), call.delay(SECOND)),
            (Err(NotPending), Err(NotPending), Err(NotPending))
        );
    }
    clock.advance(SECOND * 20);
    assert_eq!((journal.take().len(), clock.pending()), (0, 0));
}

#[test]
fn r1_a_hundred_thousand_calls_run_in_order_whatever_was_cancelled() {
    let (clock, count) = (Clock::new(), Rc::new(Cell::new((0_u64, Duration::ZERO))));
    let calls: Vec<_> = (0..100_000_u64)
        .map(|n| {
            let due = Duration::from_millis(n * 7_919 % 100_000);
            let (count, now) = (Rc::clone(&count), clock.clone());
            clock.call_later(due, move || {
                let (ran, last) = count.get();
                assert!(last <= due && due <= now.now());
                count.set((ran + 1, due));
            })
        })
        .collect();
    calls
        .iter()
        .step_by(2)
        .for_each(|call| call.cancel().unwrap());
    clock.advance(SECOND * 200);
    assert_eq!(count.get().0, 50_000);
}

#[test]
fn r3_call_when_running_is_queued_before_the_run_and_immediate_during_it() {
    let (reactor, journal) = (Reactor::open().unwrap(), Journal::default());
    let (context, inside) = (reactor.clone(), journal.clone());
    reactor.call_when_running(move || {
        context.call_when_running(inside.later("at once"));
        inside.note("in the run");
        context.stop().unwrap();
    });
    assert!(journal.take().is_empty());
    reactor.run().unwrap();
    assert_eq!(journal.take(), ["at once", "in the run"]);
}

#[test]
fn r4_a_panic_in_a_timer_hook_or_thread_call_is_logged_and_the_loop_goes_on() {
    let (reactor, journal) = (Reactor::open().unwrap(), Journal::default());
    let logged = journal.clone();
    log::set_hook(move |trouble| logged.note(trouble.to_string()));
    reactor.call_when_running(|| panic!("hook"));
    reactor.call_later(Duration::ZERO, || panic!("timer"));
    reactor
        .remote()
        .call_from_thread(|_| panic!("thread call"))
        .unwrap();
    let context = reactor.clone();
    reactor.call_later(Duration::from_millis(1), move || context.stop().unwrap());
    reactor.run().unwrap();
    let mut logged = journal.take();
    logged.sort();
    assert_eq!(
        logged,
        [
            "a callback panicked: hook",
            "a callback panicked: thread call",
            "a callback panicked: timer"
        ]
    );
}

#[test]
fn r5_stop_lets_this_turn_end_and_then_runs_the_triggers_in_their_phases() {
    let (reactor, journal) = (Reactor::open().unwrap(), Journal::default());
    let (fires, before_ends) = Deferred::new();
    let (noted, context) = (journal.clone(), reactor.clone());
    for (phase, name) in [(Phase::After, "after"), (Phase::During, "during")] {
        let journal = journal.clone();
        reactor.add_system_event_trigger(phase, move || {
            journal.note(name);
            Deferred::succeed(())
        });
    }
    reactor.add_system_event_trigger(Phase::Before, move || {
        noted.note("before");
        context.call_later(Duration::from_millis(1), move || {
            noted.note("before ended");
            fires.callback(());
        });
        before_ends
    });
    let context = reactor.clone();
    reactor.call_later(Duration::ZERO, move || context.stop().unwrap());
    reactor.call_later(Duration::ZERO, journal.later("due in the same turn"));
    reactor.run().unwrap();
    assert_eq!(
        journal.take(),
        [
            "due in the same turn",
            "before",
            "before ended",
            "during",
            "after"
        ]
    );
}

#[test]
fn r6_stop_when_not_running_and_run_inside_run_are_errors() {
    let reactor = Rc::new(Reactor::open().unwrap());
    assert_eq!(reactor.stop(), Err(NotRunning));
    let inside = Rc::downgrade(&reactor);
    reactor.call_when_running(move || {
        let reactor = inside.upgrade().unwrap();
        assert_eq!(reactor.run(), Err(AlreadyRunning));
        reactor.stop().unwrap();
        assert_eq!(reactor.stop(), Err(NotRunning));
    });
    reactor.run().unwrap();
    assert_eq!(reactor.stop(), Err(NotRunning));
}

#[test]
fn r7_calls_from_a_thread_run_in_order_in_the_reactor_s_thread_and_wake_it() {
    let reactor = Reactor::open().unwrap();
    let here = std::thread::current().id();
    let ran = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&ran);
    let inlet = reactor.inlet(move |reactor, n: u32| {
        assert_eq!(std::thread::current().id(), here);
        heard.borrow_mut().push(n);
        if n == 99 {
            reactor.stop().unwrap();
        }
    });
    let thread = std::thread::spawn(move || (0..100).for_each(|n| inlet.send(n).unwrap()));
    reactor.run().unwrap();
    thread.join().unwrap();
    assert_eq!(*ran.borrow(), (0..100).collect::<Vec<_>>());
    let remote = reactor.remote();
    drop(reactor);
    assert!(remote.call_from_thread(|_| ()).is_err());
}

#[test]
fn r8_time_moves_first_and_then_due_calls_run_sorted() {
    let (clock, journal) = (Clock::new(), Journal::default());
    for seconds in [2, 1] {
        let (now, journal) = (clock.clone(), journal.clone());
        clock.call_later(SECOND * seconds, move || {
            journal.note(format!("{seconds} at {}", now.now().as_secs()))
        });
    }
    clock.advance(SECOND * 5);
    assert_eq!(journal.take(), ["1 at 5", "2 at 5"]);
}

/// Notes what it is told; does what its name says.
#[derive(Clone)]
struct Notes(Journal, fn(&Transport, &[u8]));

impl Factory for Notes {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        self.0.note(match address.side {
            Side::Accepted { serial } => format!("accepted {serial}"),
            Side::Initiated => "initiated".to_owned(),
        });
        Some(Box::new(self.clone()))
    }

    fn connection_failed(&self, _: std::net::SocketAddr, error: std::io::Error) {
        self.0.note(format!("failed: {error}"));
    }
}

impl Protocol for Notes {
    fn connection_made(&mut self, _: &Transport) {
        self.0.note("made");
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        (self.1)(transport, data);
    }

    fn connection_lost(&mut self, _: &Transport, lost: Lost) {
        self.0.note(match lost {
            Lost::Done => "lost: done".to_owned(),
            Lost::Aborted => "lost: aborted".to_owned(),
            Lost::Broken(error) => format!("lost: {error}"),
        });
    }
}

fn notes(act: fn(&Transport, &[u8])) -> (MemoryReactor, Journal, Rc<dyn Factory>) {
    let journal = Journal::default();
    (
        MemoryReactor::new(),
        journal.clone(),
        Rc::new(Notes(journal, act)),
    )
}

#[test]
fn r4_a_panic_in_data_received_drops_only_that_connection() {
    log::set_hook(|_| ());
    let (reactor, _, factory) = notes(|transport, data| {
        assert_ne!(data, b"bad", "a bad peer");
        transport.write(data);
    });
    let (bad, good) = (reactor.accept(&factory), reactor.accept(&factory));
    bad.send(b"bad");
    good.send(b"good");
    reactor.settle();
    assert!(bad.is_closed() && !good.is_closed());
    assert_eq!(
        (good.received(), reactor.connections()),
        (b"good".to_vec(), 1)
    );
}

#[test]
fn r9_a_factory_is_used_again_and_tells_accepted_from_initiated_and_failed_from_lost() {
    let (reactor, journal, factory) = notes(|_, _| ());
    let peers = [reactor.accept(&factory), reactor.accept(&factory)];
    assert_eq!(journal.take(), ["accepted 0", "made", "accepted 1", "made"]);
    let address = ([127, 0, 0, 1], 9).into();
    drop(reactor.connect_tcp(address, SECOND, Rc::clone(&factory)));
    reactor.dialled()[0].accept();
    reactor.settle();
    assert_eq!(journal.take(), ["initiated", "made"]);
    drop(reactor.connect_tcp(address, SECOND, Rc::clone(&factory)));
    reactor.dialled()[0].fail(ErrorKind::ConnectionRefused);
    reactor.settle();
    drop(reactor.connect_tcp(address, SECOND, factory));
    reactor.advance(SECOND);
    assert_eq!(
        journal.take(),
        ["failed: connection refused", "failed: timed out"]
    );
    peers[0].finish();
    peers[1].fail(ErrorKind::ConnectionReset);
    reactor.settle();
    assert_eq!(journal.take(), ["lost: done", "lost: connection reset"]);
}

#[test]
fn r9_lose_connection_flushes_and_abort_connection_does_not() {
    let (reactor, journal, factory) = notes(|transport, data| {
        transport.write(b"a long reply");
        if data == b"lose" {
            transport.lose_connection();
        } else {
            transport.abort_connection();
        }
    });
    for (word, received, end) in [
        ("lose", &b"a long reply"[..], "lost: done"),
        ("abort", b"a lo", "lost: aborted"),
    ] {
        let peer = reactor.accept(&factory);
        peer.limit_room(4);
        peer.send(word.as_bytes());
        reactor.settle();
        assert_eq!(peer.is_closed(), word == "abort");
        peer.limit_room(100);
        reactor.settle();
        assert_eq!(peer.received(), received);
        assert!(peer.is_closed());
        assert_eq!(journal.take().last().unwrap(), end);
    }
}

#[test]
fn r9_back_pressure_goes_both_ways() {
    let (reactor, _, factory) = notes(|transport, data| {
        transport.register_producer(Rc::new(transport.clone()));
        transport.write(&data.repeat(20));
    });
    let peer = reactor.accept(&factory);
    peer.limit_room(10);
    peer.send(&[b'x'; 10_000]);
    reactor.settle();
    assert_eq!(peer.unread(), 0);
    peer.send(b"more");
    reactor.settle();
    assert_eq!(peer.unread(), 4, "read although its replies wait");
    peer.limit_room(usize::MAX);
    reactor.settle();
    assert_eq!((peer.unread(), peer.received().len()), (0, 200_080));
}

#[test]
fn no_cycle_keeps_a_socket_open() {
    /// Holds everything it can get hold of.
    struct Greedy(Option<(Transport, Reactor)>);
    impl Protocol for Greedy {
        fn connection_made(&mut self, transport: &Transport) {
            self.0 = Some((transport.clone(), transport.reactor()));
            let held = transport.clone();
            drop(transport.reactor().call_later(SECOND, move || drop(held)));
        }

        fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    }
    impl Factory for Greedy {
        fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
            Some(Box::new(Greedy(None)))
        }
    }
    let reactor = MemoryReactor::new();
    let peer = reactor.accept(&(Rc::new(Greedy(None)) as Rc<dyn Factory>));
    assert!(!peer.is_closed());
    drop(reactor);
    assert!(peer.is_closed());
}

#[test]
fn d14_blocking_work_comes_back_into_the_reactor() {
    let reactor = Reactor::open().unwrap();
    let (here, context) = (std::thread::current().id(), reactor.clone());
    let seen = Rc::new(Cell::new(false));
    let sees = Rc::clone(&seen);
    drop(
        defer_to_thread(&reactor, std::thread::current).add_both(move |thread| {
            sees.set(thread?.id() != here && std::thread::current().id() == here);
            Ok(context.stop()?)
        }),
    );
    reactor.run().unwrap();
    assert!(seen.get());
}

/// `resume_producing` is a [`Producer`]'s word too.
#[test]
fn r9_a_paused_transport_reads_nothing() {
    let (reactor, _, factory) = notes(|transport, _| transport.pause_producing());
    let peer = reactor.accept(&factory);
    peer.send(b"a");
    reactor.settle();
    peer.send(b"b");
    reactor.settle();
    assert_eq!(peer.unread(), 1);
}
