//! The rules of one Deferred (D1–D9). Misuse that the types make impossible is a `compile_fail` doctest next to the type;
//! `deferreds.rs` tests lists, locks, queues and coroutines.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Abandoned, Cancelled, Clock, Deferred, NotPaused, TimedOut, Trigger, WaitsForItself,
};

use common::{on_a_small_stack, result, unhandled, words};

#[test]
fn d1_a_result_travels_down_one_side_and_handlers_decide_the_next() {
    let (trigger, deferred) = Deferred::new();
    let path = Rc::new(RefCell::new(Vec::new()));
    let note = |name: &'static str| {
        let path = Rc::clone(&path);
        move || path.borrow_mut().push(name)
    };
    let (a, b, c, d) = (
        note("callback"),
        note("skipped errback"),
        note("errback"),
        note("back on track"),
    );
    let end = deferred
        .add_errback(move |failure| {
            b();
            Err(failure)
        })
        .add_callback(move |n: u32| {
            a();
            if n > 0 { Err(words("no")) } else { Ok(n) }
        })
        .add_errback(move |_| {
            c();
            Ok(7)
        })
        .add_callback(move |n| {
            d();
            Ok(n + 1)
        });
    trigger.callback(1);
    assert_eq!(result(end), Ok(8));
    assert_eq!(*path.borrow(), ["callback", "errback", "back on track"]);
}

#[test]
fn d1_the_errback_of_a_pair_never_sees_the_failure_of_its_callback() {
    let end = Deferred::succeed(1).add_callbacks(|_| Err::<u32, _>(words("mine")), |_| Ok(0));
    assert_eq!(result(end), Err("mine".to_owned()));
}

#[test]
fn d2_a_dropped_trigger_fails_its_deferred() {
    let (trigger, deferred) = Deferred::<()>::new();
    drop(trigger);
    assert!(
        deferred
            .take_result()
            .unwrap()
            .unwrap_err()
            .is::<Abandoned>()
    );
    on_a_small_stack(|| {
        let (trigger, mut outermost) = Deferred::<()>::new();
        let mut last = Some(trigger);
        for _ in 0..100_000 {
            let (trigger, next) = Deferred::<()>::new();
            let owned = last.replace(trigger);
            outermost = {
                let earlier = outermost;
                next.add_callback(move |()| {
                    drop(owned);
                    earlier
                })
            };
        }
        drop(last);
        assert!(outermost.take_result().unwrap().is_err());
    });
}

#[test]
fn d3_a_callback_added_after_firing_runs_at_once_and_one_added_by_a_callback_runs_last() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let shared: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (trigger, deferred) = Deferred::<()>::new();
    let (inside, outer) = (Rc::clone(&order), Rc::clone(&shared));
    let chained = deferred.add_callback(move |()| {
        let deferred = outer.take().unwrap();
        let tail = Rc::clone(&inside);
        drop(deferred.add_callback(move |()| {
            tail.borrow_mut().push("tail");
            Ok(())
        }));
        inside.borrow_mut().push("first");
        Ok(())
    });
    let second = Rc::clone(&order);
    let chained = chained.add_callback(move |()| {
        second.borrow_mut().push("second");
        Ok(())
    });
    *shared.borrow_mut() = Some(chained);
    trigger.callback(());
    assert_eq!(*order.borrow(), ["first", "second", "tail"]);
}

#[test]
fn d4_a_returned_deferred_pauses_the_outer_until_it_fires() {
    let (inner_fires, inner) = Deferred::new();
    let outer = Deferred::succeed(1)
        .add_callback(move |_| inner)
        .add_callback(|n: u32| Ok(n * 2));
    assert!(!outer.is_settled());
    inner_fires.callback(21);
    assert_eq!(result(outer), Ok(42));
    let taken = Deferred::succeed(1).add_callback(|_| Deferred::succeed("at once"));
    assert_eq!(result(taken), Ok("at once"));
}

#[test]
fn d4_waiting_for_itself_is_an_error_alone_and_in_a_ring() {
    let shared: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (trigger, deferred) = Deferred::<()>::new();
    let (itself, caught) = (Rc::clone(&shared), Rc::new(Cell::new(false)));
    let (catches, control) = (Rc::clone(&caught), deferred.control());
    let chained = deferred.add_callback(move |()| itself.take().unwrap());
    *shared.borrow_mut() = Some(chained.add_errback(move |failure| {
        catches.set(failure.is::<WaitsForItself>());
        Ok(())
    }));
    trigger.callback(());
    assert!(caught.get());
    drop(control);

    let count = unhandled();
    let (fires_a, a) = Deferred::<()>::new();
    let (fires_b, b) = Deferred::<()>::new();
    let (b_cell, a_cell) = (
        Rc::new(Cell::new(Some(b))),
        Rc::new(Cell::new(None::<Deferred<()>>)),
    );
    let a_in_b = Rc::clone(&a_cell);
    let waits = b_cell
        .take()
        .unwrap()
        .add_callback(move |()| a_in_b.take().unwrap());
    let a = a.add_callback(move |()| waits);
    a_cell.set(Some(a));
    fires_a.callback(());
    fires_b.callback(());
    assert_eq!(count.get(), 1);
}

#[test]
fn d5_pauses_count_and_underflow_is_rejected() {
    let deferred = Deferred::succeed(1);
    deferred.pause();
    deferred.pause();
    let control = deferred.control();
    let end = deferred.add_callback(|n| Ok(n + 1));
    control.unpause().unwrap();
    assert!(!end.is_settled());
    control.unpause().unwrap();
    assert_eq!(control.unpause(), Err(NotPaused));
    assert_eq!(result(end), Ok(2));
}

#[test]
fn d6_a_cancel_before_firing_fails_the_deferred_and_a_later_fire_is_ignored() {
    let (trigger, deferred) = Deferred::<u32>::new();
    deferred.cancel();
    deferred.cancel();
    assert!(trigger.is_cancelled());
    trigger.callback(3);
    assert_eq!(result(deferred), Err("cancelled".to_owned()));
}

#[test]
fn d6_a_canceller_runs_once_and_its_result_stands() {
    let (runs, fires) = (
        Rc::new(Cell::new(0)),
        Rc::new(Cell::new(None::<Trigger<u32>>)),
    );
    let (counted, fired) = (Rc::clone(&runs), Rc::clone(&fires));
    let (trigger, deferred) = Deferred::with_canceller(move || {
        counted.set(counted.get() + 1);
        if let Some(trigger) = fired.take() {
            trigger.callback(9);
        }
        None
    });
    fires.set(Some(trigger));
    deferred.cancel();
    deferred.cancel();
    assert_eq!((runs.get(), result(deferred)), (1, Ok(9)));

    let (_trigger, deferred) = Deferred::with_canceller(|| Some(Ok(5)));
    deferred.cancel();
    assert_eq!(result(deferred), Ok(5));
}

#[test]
fn d6_a_cancel_after_firing_does_nothing_and_one_while_waiting_cancels_the_inner_deferred() {
    let fired = Deferred::succeed(1);
    fired.cancel();
    assert_eq!(result(fired), Ok(1));
    let cancelled = Rc::new(Cell::new(false));
    let sees = Rc::clone(&cancelled);
    let (_trigger, inner) = Deferred::<u32>::with_canceller(move || {
        sees.set(true);
        None
    });
    let outer = Deferred::succeed(()).add_callback(move |()| inner);
    outer.cancel();
    assert!(cancelled.get());
    assert_eq!(result(outer), Err("cancelled".to_owned()));
}

#[test]
fn d7_a_timeout_covers_only_the_handlers_added_before_it() {
    let (clock, two_seconds) = (Clock::new(), Duration::from_secs(2));
    let (_never, before) = Deferred::<u32>::new();
    let (ends, after) = Deferred::new();
    let timed_out = Rc::new(Cell::new(false));
    let seen = Rc::clone(&timed_out);
    let late = Deferred::succeed(1)
        .add_callback(move |_| before)
        .timeout(two_seconds, &clock)
        .add_both(move |result| {
            seen.set(result.is_err_and(|failure| failure.is::<TimedOut>()));
            after
        });
    clock.advance(two_seconds - Duration::from_nanos(1));
    assert!(!timed_out.get());
    clock.advance(Duration::from_nanos(1));
    assert!(timed_out.get());
    clock.advance(two_seconds * 10);
    assert!(!late.is_settled());
    ends.callback(2);
    assert_eq!(result(late), Ok(2));
}

#[test]
fn d7_an_early_result_removes_the_timer_and_another_cancel_stays_cancelled() {
    let clock = Clock::new();
    let (trigger, early) = Deferred::new();
    let early = early.timeout(Duration::from_secs(2), &clock);
    trigger.callback(1);
    assert_eq!((clock.pending(), result(early)), (0, Ok(1)));
    let (_trigger, deferred) = Deferred::<u32>::new();
    let deferred = deferred.timeout(Duration::from_secs(2), &clock);
    deferred.cancel();
    assert!(
        deferred
            .take_result()
            .unwrap()
            .unwrap_err()
            .is::<Cancelled>()
    );
}

#[test]
fn d8_a_failure_dropped_unhandled_is_reported_exactly_once() {
    let count = unhandled();
    drop(Deferred::<()>::fail(words("unhandled")));
    assert_eq!(count.get(), 1);
    let (trigger, deferred) = Deferred::<()>::new();
    let outer = Deferred::succeed(()).add_callback(move |()| deferred);
    trigger.errback(words("through two"));
    drop(outer.add_callback(Ok));
    assert_eq!(count.get(), 2);
    drop(Deferred::<()>::fail(words("handled")).add_errback(|_| Ok(())));
    assert_eq!(count.get(), 2);
}

const DEPTH: usize = 1_000_000;

#[test]
fn d9_a_million_callbacks_run_on_a_small_stack() {
    on_a_small_stack(|| {
        let (trigger, mut deferred) = Deferred::new();
        for _ in 0..DEPTH {
            deferred = deferred.add_callback(|n: usize| Ok(n + 1));
        }
        trigger.callback(0);
        assert_eq!(deferred.take_result().unwrap().unwrap(), DEPTH);
    });
}

/// A chain of Deferreds that each wait for the next, and their triggers from the outermost to the innermost.
fn chain() -> (Vec<Trigger<usize>>, Deferred<usize>) {
    let (trigger, mut outermost) = Deferred::new();
    let mut triggers = vec![trigger];
    for _ in 0..DEPTH {
        let (trigger, next) = Deferred::new();
        triggers.push(trigger);
        let inner = outermost;
        outermost = next.add_callback(move |_: usize| inner);
    }
    triggers.reverse();
    (triggers, outermost)
}

#[test]
fn d9_a_million_deep_chain_fires_from_either_end_on_a_small_stack() {
    on_a_small_stack(|| {
        let (triggers, outermost) = chain();
        triggers
            .into_iter()
            .enumerate()
            .for_each(|(index, trigger)| trigger.callback(index));
        assert_eq!(outermost.take_result().unwrap().unwrap(), DEPTH);
    });
    on_a_small_stack(|| {
        let (triggers, outermost) = chain();
        triggers
            .into_iter()
            .enumerate()
            .rev()
            .for_each(|(index, trigger)| trigger.callback(index));
        assert_eq!(outermost.take_result().unwrap().unwrap(), DEPTH);
    });
}

#[test]
fn d9_a_million_deep_chain_is_cancelled_through_on_a_small_stack() {
    on_a_small_stack(|| {
        let (mut triggers, outermost) = chain();
        let innermost = triggers.pop();
        triggers.into_iter().for_each(|trigger| trigger.callback(0));
        outermost.cancel();
        assert!(innermost.unwrap().is_cancelled());
        assert!(
            outermost
                .take_result()
                .unwrap()
                .unwrap_err()
                .is::<Cancelled>()
        );
    });
}

#[test]
fn d9_a_million_deep_chain_is_dropped_unfired_and_half_fired_on_a_small_stack() {
    on_a_small_stack(|| {
        let (triggers, outermost) = chain();
        drop(triggers);
        drop(outermost);
        let (mut triggers, outermost) = chain();
        let innermost = triggers.pop();
        triggers.into_iter().for_each(|trigger| trigger.callback(0));
        drop(outermost);
        drop(innermost);
    });
}
