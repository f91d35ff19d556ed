//! The deviations from Twisted that SEMANTICS.md names, one test each. `tests/twisted` compares everything else.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use callbacks::{
    Abandoned, AllFailed, Cancelled, Control, Deferred, DeferredList, DeferredLock,
    ReleasedTooOften, Trigger, WaitsForItself, gather_results, race,
};
use common::{Journal, result, unhandled, words};

#[test]
fn d6_dropped_fire_a_fire_after_a_cancel_is_dropped_despite_a_silent_canceller() {
    let (trigger, poem) = Deferred::with_canceller(|| None);
    poem.cancel();
    assert!(trigger.is_cancelled());
    trigger.callback("late");
    assert_eq!(result(poem), Err("cancelled".to_owned()));
}

#[test]
fn d6_canceller_once_a_cancel_inside_a_canceller_ends_in_cancelled_without_calling_it_again() {
    let (calls, control) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None::<Control>)));
    let (counted, again) = (Rc::clone(&calls), Rc::clone(&control));
    let (_trigger, poem) = Deferred::<()>::with_canceller(move || {
        counted.set(counted.get() + 1);
        again.take().unwrap().cancel();
        None
    });
    control.set(Some(poem.control()));
    poem.cancel();
    assert_eq!(calls.get(), 1);
    assert_eq!(result(poem), Err("cancelled".to_owned()));
}

#[test]
fn d5_pause_at_once_a_pause_in_a_handler_holds_the_next_handler() {
    let (trigger, poem) = Deferred::new();
    let control = poem.control();
    let within = control.clone();
    let ran = Rc::new(Cell::new(false));
    let runs = Rc::clone(&ran);
    let poem = poem
        .add_callback(move |()| {
            within.pause();
            Ok(())
        })
        .add_callback(move |()| {
            runs.set(true);
            Ok(())
        });
    trigger.callback(());
    assert!(!ran.get());
    control.unpause().unwrap();
    assert!(ran.get() && poem.is_settled());
}

#[test]
fn d4_running_inner_a_deferred_whose_handler_runs_is_waited_for() {
    let inner: Rc<RefCell<Option<Deferred<u8>>>> = Rc::default();
    let (outer_fires, outer) = Deferred::<()>::new();
    let taken = Rc::clone(&inner);
    let outer = outer.add_callback(move |()| taken.take().expect("the inner Deferred"));
    let (inner_fires, running) = Deferred::new();
    let running = running.add_callback(move |n: u8| {
        outer_fires.callback(());
        Ok(n + 1)
    });
    *inner.borrow_mut() = Some(running);
    inner_fires.callback(1);
    assert_eq!(
        result(outer),
        Ok(2),
        "Twisted takes the 1 that the handler is given"
    );
}

#[test]
fn d4_waits_for_itself_a_ring_fails() {
    let inner: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (trigger, ring) = Deferred::<()>::new();
    let taken = Rc::clone(&inner);
    let (second_fires, second) = Deferred::<()>::new();
    let second = second.add_callback(move |()| taken.take().expect("the first Deferred"));
    *inner.borrow_mut() = Some(ring.add_callback(move |()| second));
    trigger.callback(());
    let count = unhandled();
    second_fires.callback(());
    assert!(inner.borrow().is_none());
    assert_eq!(
        count.get(),
        1,
        "{WaitsForItself} is reported, and the ring is open"
    );
}

#[test]
fn d10_list_always_ends_a_cancelled_list_ends_although_its_members_do_not() {
    let (_trigger, member) = Deferred::<()>::new();
    member.pause();
    let all = DeferredList::new(vec![member]).all();
    all.cancel();
    assert!(all.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

#[test]
fn d10_list_passes_cancel_on_a_list_that_waits_for_an_inner_deferred_cancels_it() {
    let (inner_fires, inner) = Deferred::<()>::new();
    let all = DeferredList::new(vec![Deferred::succeed(1)]).all();
    let all = all.add_callback(move |_| inner);
    all.cancel();
    assert!(inner_fires.is_cancelled());
    assert!(all.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

#[test]
fn d8_paused_failure_a_paused_deferred_that_is_dropped_reports_its_failure() {
    let count = unhandled();
    let (trigger, poem) = Deferred::<()>::new();
    poem.pause();
    trigger.errback(words("no poem"));
    drop(poem);
    assert_eq!(count.get(), 1);
}

#[test]
fn d10_all_failed_is_a_failure_of_a_list_that_waits_for_one_success() {
    let members = vec![Deferred::<()>::fail(words("a")), Deferred::fail(words("b"))];
    let first = DeferredList::new(members).fire_on_one_callback();
    let failure = first.take_result().unwrap().unwrap_err();
    assert_eq!(failure.trap::<AllFailed>().unwrap().0.len(), 2);
}

#[test]
fn d8_one_owner_a_failure_in_a_list_s_result_is_reported_only_with_it() {
    let count = unhandled();
    let members = || vec![Deferred::<()>::fail(words("no poem"))];
    let results = DeferredList::new(members()).all().take_result().unwrap();
    assert!(results.unwrap()[0].is_err());
    assert_eq!(count.get(), 0, "the result has it");
    drop(DeferredList::new(members()).fire_on_one_errback());
    assert_eq!(
        count.get(),
        1,
        "dropped with the result, it is reported once"
    );
}

#[test]
fn d8_a_failure_in_a_list_that_never_fires_is_reported() {
    let count = unhandled();
    let members = |pending| vec![Deferred::fail(words("no poem")), pending];
    for consume in [false, true] {
        let (never, pending) = Deferred::<()>::new();
        let list = DeferredList::new(members(pending));
        let list = if consume { list.consume_errors() } else { list };
        drop(list.all());
        never.never();
        assert_eq!(count.get(), 1, "consume_errors: {consume}");
    }
}

#[test]
fn d8_a_list_whose_members_are_abandoned_reports_nothing() {
    let count = unhandled();
    let abandoned = |whole: fn(Vec<Deferred<()>>) -> Deferred<()>| {
        let (triggers, members): (Vec<Trigger<()>>, Vec<_>) =
            (0..2).map(|_| Deferred::new()).unzip();
        drop(whole(members));
        drop(triggers);
    };
    abandoned(|members| gather_results(members).add_callback(|_| Ok(())));
    abandoned(|members| race(members).add_callback(|_| Ok(())));
    abandoned(|members| {
        let first = DeferredList::new(members).fire_on_one_callback();
        first.add_callback(|_| Ok(()))
    });
    assert_eq!(count.get(), 0);
    let (trigger, member) = Deferred::<()>::new();
    let gathered = gather_results(vec![member]);
    drop(trigger);
    let failure = gathered.take_result().unwrap().unwrap_err();
    assert!(failure.to_string().ends_with(&Abandoned.to_string()));
}

#[test]
fn d11_empty_race_fails_at_once() {
    let failure = race::<()>(Vec::new()).take_result().unwrap().unwrap_err();
    assert!(failure.trap::<AllFailed>().unwrap().0.is_empty());
}

#[test]
fn d11_a_race_cancels_the_losers_before_the_winner_s_callbacks_run() {
    let journal = Journal::default();
    let cancelled = journal.clone();
    let (_slow, loser) = Deferred::with_canceller(move || {
        cancelled.note("the loser is cancelled");
        None
    });
    let (fast, winner) = Deferred::new();
    let called = journal.clone();
    let race = race(vec![loser, winner]).add_callback(move |(index, value)| {
        called.note("the winner's callback runs");
        Ok((index, value))
    });
    fast.callback("fast");
    assert_eq!(
        journal.take(),
        ["the loser is cancelled", "the winner's callback runs"]
    );
    assert_eq!(result(race), Ok((1, "fast")));
}

#[test]
fn d12_grant_in_turn_a_release_in_a_grant_takes_effect_after_its_callbacks() {
    let (lock, journal) = (DeferredLock::new(), Journal::default());
    drop(lock.acquire());
    let turns = ["7", "8"].map(|name| {
        let (works, ends) = (journal.clone(), journal.clone());
        let turn = lock.run(move || {
            works.note(format!("work {name}"));
            Ok(())
        });
        turn.add_callback(move |()| {
            ends.note(format!("callback {name}"));
            Ok(())
        })
    });
    lock.release().unwrap();
    assert_eq!(
        journal.take(),
        ["work 7", "callback 7", "work 8", "callback 8"],
        "Twisted: work 7, work 8, callback 8, callback 7"
    );
    drop(turns);
    // So a release within the work is one too many, whether or not another one waits.
    drop(lock.acquire());
    let within = lock.clone();
    let twice = lock.run(move || {
        within.release()?;
        Ok(())
    });
    let waits = lock.run(|| Ok(()));
    lock.release().unwrap();
    let failure = twice.take_result().unwrap().unwrap_err();
    assert!(failure.is::<ReleasedTooOften>());
    assert!(waits.is_settled());
}

#[test]
fn d12_pausing_what_run_returned_holds_the_result_and_not_the_permit() {
    let lock = DeferredLock::new();
    let (first_ends, work) = Deferred::<()>::new();
    let first = lock.run(move || work);
    first.pause();
    let second = lock.run(|| Ok("second"));
    first_ends.callback(());
    assert!(!first.is_settled());
    assert_eq!(result(second), Ok("second"));
    first.unpause().unwrap();
    assert_eq!(result(first), Ok(()));
}
