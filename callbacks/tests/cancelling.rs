//! Cancels at awkward times (D6, D12, D13): from within a callback, between two waits, twice, and of a cycle.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use callbacks::{
    Cancelled, Clock, Deferred, DeferredSemaphore, Trigger, WaitsForItself, coroutine, log,
};

use common::{Journal, SECOND, result, unhandled};

type Kept<T> = Rc<RefCell<Option<T>>>;

#[test]
fn d6_a_trigger_fired_by_an_errback_of_its_cancel_does_nothing() {
    let kept: Kept<Trigger<u32>> = Rc::default();
    let (trigger, deferred) = Deferred::new();
    *kept.borrow_mut() = Some(trigger);
    let fires = deferred.add_errback(move |failure| {
        let trigger = kept.take().unwrap();
        assert!(trigger.is_cancelled());
        trigger.callback(7);
        Err(failure)
    });
    fires.cancel();
    assert!(fires.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

#[test]
fn d6_a_panic_in_the_canceller_is_the_failure_and_ends_a_timeout() {
    let clock = Clock::new();
    let (_trigger, deferred) = Deferred::<()>::with_canceller(|| panic!("a canceller"));
    let bounded = deferred.timeout(SECOND, &clock);
    clock.advance(SECOND);
    assert_eq!(
        result(bounded).unwrap_err(),
        "a callback panicked: a canceller"
    );
}

#[test]
fn d12_queued_work_does_not_keep_its_semaphore() {
    let held = Rc::new(());
    let holds = Rc::clone(&held);
    let semaphore = DeferredSemaphore::new(1);
    let (acquired, waits) = (
        semaphore.acquire(),
        semaphore.run(move || {
            drop(holds);
            Ok(())
        }),
    );
    drop((acquired, semaphore));
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(result(waits).unwrap_err().starts_with("abandoned"));
}

#[test]
fn d13_a_coroutine_created_in_another_runs_to_its_first_wait_first() {
    let journal = Journal::default();
    let (outer, inner) = (journal.clone(), journal.clone());
    let whole = coroutine(async move {
        let made = coroutine(async move {
            inner.note("inner");
            Ok("its result")
        });
        outer.note("outer");
        made.await
    });
    assert_eq!(result(whole), Ok("its result"));
    assert_eq!(journal.take(), ["inner", "outer"]);
}

#[test]
fn d13_a_cancel_right_after_creation_arrives_at_the_first_wait() {
    let (_trigger, never) = Deferred::<()>::new();
    let whole = coroutine(async move {
        let made = coroutine(async move { never.await });
        made.cancel();
        made.await
    });
    assert!(whole.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

/// One coroutine fires what another awaits, and cancels that before it has resumed.
#[test]
fn d13_a_cancel_between_a_value_and_the_resumption_arrives_at_the_next_wait() {
    let (fires, first) = Deferred::<()>::new();
    let (second_fires, second) = Deferred::<()>::new();
    let waits = coroutine(async move {
        first.await?;
        second.await
    });
    let control = waits.control();
    let whole = coroutine(async move {
        fires.callback(());
        control.cancel();
        Ok(())
    });
    assert!(whole.is_settled() && second_fires.is_cancelled());
    assert!(waits.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

#[test]
fn d13_a_cancel_from_within_the_block_arrives_at_its_next_wait_and_only_there() {
    let (starts, started) = Deferred::<()>::new();
    let (_never, waited_for) = Deferred::<()>::new();
    let kept: Kept<callbacks::Control> = Rc::default();
    let own = Rc::clone(&kept);
    let whole = coroutine(async move {
        started.await?;
        own.take().unwrap().cancel();
        let caught = waited_for.await.unwrap_err();
        Deferred::succeed(()).await?;
        Ok(caught.is::<Cancelled>())
    });
    *kept.borrow_mut() = Some(whole.control());
    starts.callback(());
    assert_eq!(result(whole), Ok(true));
}

#[test]
fn d13_a_block_that_awaits_itself_fails_at_that_wait_directly_or_through_others() {
    let through: [fn(Deferred<()>) -> Deferred<()>; 3] = [
        |own| own,
        |own| coroutine(async move { own.await }),
        |own| Deferred::succeed(()).add_callback(move |()| own),
    ];
    for through in through {
        let (starts, started) = Deferred::<()>::new();
        let kept: Kept<Deferred<()>> = Rc::default();
        let (own, found) = (Rc::clone(&kept), Rc::new(Cell::new(false)));
        let finds = Rc::clone(&found);
        let whole = coroutine(async move {
            started.await?;
            let own = own.take().unwrap();
            let failure = through(own).await.unwrap_err();
            finds.set(failure.is::<WaitsForItself>());
            Ok(())
        });
        let control = whole.control();
        *kept.borrow_mut() = Some(whole);
        starts.callback(());
        assert!(found.get());
        control.cancel(); // Breaks the cycle.
    }
}

#[test]
fn d4_a_callback_that_returns_a_coroutine_which_awaits_its_deferred_fails() {
    let (starts, started) = Deferred::<()>::new();
    let kept: Kept<Deferred<()>> = Rc::default();
    let own = Rc::clone(&kept);
    let ring = started.add_callback(move |()| {
        let own = own.take().unwrap();
        coroutine(async move { own.await })
    });
    let control = ring.control();
    *kept.borrow_mut() = Some(ring);
    let reported = unhandled();
    starts.callback(());
    control.cancel(); // Breaks the cycle.
    drop(control);
    assert_eq!(reported.get(), 1);
    log::set_hook(|_| ());
}
