//! The promises of the reactor (R1–R8, and D14's threads), on virtual time where that is possible. R9, and what a panic
//! costs a connection, are in `connections.rs`.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    AlreadyRunning, Cancelled, Clock, Deferred, Failure, MemoryReactor, NotPending, NotRunning,
    Panicked, Phase, Reactor, defer_to_thread, log,
};

use common::{Journal, SECOND};

#[test]
fn r1_calls_are_never_early_and_equal_ones_run_in_the_order_they_were_made() {
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
fn r1_of_a_hundred_thousand_calls_those_not_cancelled_run_in_order() {
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
fn r5_stop_completes_the_turn_and_then_runs_the_triggers_by_phase() {
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
fn r7_thread_calls_wake_the_reactor_and_run_in_order_in_its_thread() {
    let reactor = Reactor::open().unwrap();
    let here = std::thread::current().id();
    let ran = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&ran);
    let inlet = reactor.inlet(move |reactor, n: u32| {
        assert_eq!(std::thread::current().id(), here);
        notes.borrow_mut().push(n);
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

#[test]
fn d14_a_panic_in_the_thread_is_a_failure_and_a_cancelled_result_is_dropped() {
    let reactor = Reactor::open().unwrap();
    let unwanted = defer_to_thread(&reactor, || "too late");
    unwanted.cancel();
    let (context, seen) = (reactor.clone(), Rc::new(Cell::new(None)));
    let sees = Rc::clone(&seen);
    drop(
        defer_to_thread(&reactor, || panic!("in a thread")).add_both(
            move |result: Result<(), Failure>| {
                sees.set(Some(result.unwrap_err().trap::<Panicked>()?));
                Ok(context.stop()?)
            },
        ),
    );
    reactor.run().unwrap();
    assert_eq!(seen.take(), Some(Panicked("in a thread".to_owned())));
    let failure = unwanted.take_result().unwrap().unwrap_err();
    assert!(failure.is::<Cancelled>());
}

#[test]
fn r7_the_calls_of_each_thread_keep_their_order() {
    let reactor = Reactor::open().unwrap();
    let ran = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&ran);
    let inlet = reactor.inlet(move |reactor, (thread, n): (usize, usize)| {
        notes.borrow_mut().push((thread, n));
        if notes.borrow().len() == 400 {
            reactor.stop().unwrap();
        }
    });
    let threads = [0, 1, 2, 3].map(|thread| {
        let inlet = inlet.clone();
        std::thread::spawn(move || (0..100).for_each(|n| inlet.send((thread, n)).unwrap()))
    });
    reactor.run().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    for thread in 0..4 {
        let ran = ran.borrow();
        let own = ran.iter().filter(|(of, _)| *of == thread);
        assert!(own.map(|(_, n)| *n).eq(0..100));
    }
}

#[test]
fn r7_calls_made_by_thread_calls_wait_for_the_next_turn() {
    let (reactor, journal) = (MemoryReactor::new(), Journal::default());
    let remote = reactor.remote();
    let noted = reactor.inlet({
        let journal = journal.clone();
        move |_, name: &str| journal.note(name)
    });
    let (again, other) = (noted.clone(), noted.clone());
    remote
        .call_from_thread(move |_| again.send("called by the first").unwrap())
        .unwrap();
    remote
        .call_from_thread(move |_| other.send("called by the second").unwrap())
        .unwrap();
    noted.send("third").unwrap();
    reactor.settle();
    assert_eq!(
        journal.take(),
        ["third", "called by the first", "called by the second"]
    );
}
