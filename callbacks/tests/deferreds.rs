//! The rules of lists, locks, queues, coroutines and bridges (D10–D14).

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Abandoned, AllFailed, Cancelled, Deferred, DeferredList, DeferredLock, DeferredQueue,
    DeferredSemaphore, Failure, FirstError, MemoryReactor, Panicked, QueueError, ReleasedTooOften,
    Trigger, coroutine, gather_results, log, maybe_deferred, race,
};

use common::{on_a_small_stack, result, unhandled, words};

#[test]
fn d10_failures_that_are_not_part_of_a_list_result_are_reported_unless_consumed() {
    let members = || vec![Deferred::<()>::fail(words("a")), Deferred::fail(words("b"))];
    for (consume, reported) in [(false, 1), (true, 0)] {
        let count = unhandled();
        let list = DeferredList::new(members());
        let list = if consume { list.consume_errors() } else { list };
        assert!(result(list.fire_on_one_errback()).is_err());
        assert_eq!(count.get(), reported);
    }
    let count = unhandled();
    assert_eq!(result(DeferredList::new(members()).all()).unwrap().len(), 2);
    assert_eq!(count.get(), 0);
}

#[test]
fn d10_cancelling_a_list_of_any_kind_cancels_every_member_once() {
    fn cancelled_members<U: 'static>(whole: fn(Vec<Deferred<()>>) -> Deferred<U>) {
        let count = Rc::new(Cell::new(0));
        let member = |_| {
            let count = Rc::clone(&count);
            Deferred::<()>::with_canceller(move || {
                count.set(count.get() + 1);
                None
            })
        };
        let (triggers, members): (Vec<_>, Vec<_>) = (0..3).map(member).unzip();
        let whole = whole(members);
        whole.cancel();
        whole.cancel();
        assert_eq!(count.get(), 3);
        assert!(triggers.iter().all(Trigger::is_cancelled));
        drop(whole.add_errback(Deferred::fail).take_result());
    }
    log::set_hook(|_| ());
    cancelled_members(|members| DeferredList::new(members).all());
    cancelled_members(|members| DeferredList::new(members).fire_on_one_callback());
    cancelled_members(|members| DeferredList::new(members).fire_on_one_errback());
    cancelled_members(gather_results);
    cancelled_members(race);
}

#[test]
fn d10_a_list_that_waits_for_one_success_fails_with_all_failures() {
    let (trigger, last) = Deferred::<()>::new();
    let members = vec![Deferred::fail(words("a")), last];
    let first = DeferredList::new(members)
        .consume_errors()
        .fire_on_one_callback();
    assert!(!first.has_fired());
    trigger.errback(words("b"));
    let failure = first.take_result().unwrap().unwrap_err();
    let failures = failure.trap::<AllFailed>().unwrap();
    assert_eq!(failures.to_string(), "all 2 failed; a; b");
}

#[test]
fn d10_a_list_of_a_hundred_thousand_is_fired_in_any_order() {
    let (mut triggers, members): (Vec<_>, Vec<_>) = (0..100_000).map(|_| Deferred::new()).unzip();
    let all = DeferredList::new(members).fire_on_one_errback();
    for (n, trigger) in std::mem::take(&mut triggers).into_iter().enumerate().rev() {
        trigger.callback(n);
    }
    assert!(result(all).unwrap().into_iter().eq(0..100_000));
}

#[test]
fn d11_an_empty_race_fails_and_an_empty_gathering_succeeds() {
    let lost = race::<()>(Vec::new()).take_result().unwrap().unwrap_err();
    assert!(lost.trap::<AllFailed>().unwrap().0.is_empty());
    assert_eq!(result(gather_results::<()>(Vec::new())), Ok(Vec::new()));
}

#[test]
fn d12_work_that_fails_panics_or_is_cancelled_releases_its_permit() {
    let lock = DeferredLock::new();
    assert!(result(lock.run(|| Err::<(), _>(words("no")))).is_err());
    assert!(result(lock.run(|| -> Result<(), Failure> { panic!("oh") })).is_err());
    let (_trigger, never) = Deferred::<()>::new();
    let held = lock.run(move || never);
    let (_trigger, never) = Deferred::<()>::new();
    let waits = lock.run(move || never);
    assert_eq!(lock.waiting(), 1);
    waits.cancel();
    assert_eq!(lock.waiting(), 0, "a cancelled waiter has left");
    held.cancel();
    assert_eq!(result(lock.run(|| Ok("free"))), Ok("free"));
    assert_eq!(lock.release(), Err(ReleasedTooOften));
    assert!(result(held).is_err() && result(waits).is_err());
}

#[test]
fn d12_a_lock_is_first_come_first_served_with_one_holder_at_a_time() {
    let (lock, order) = (DeferredLock::new(), Rc::new(RefCell::new(Vec::new())));
    let (mut triggers, mut turns) = (Vec::new(), Vec::new());
    for n in 0..3 {
        let (trigger, ends) = Deferred::<()>::new();
        let order = Rc::clone(&order);
        triggers.push(trigger);
        turns.push(lock.run(move || {
            order.borrow_mut().push(n);
            ends
        }));
    }
    for (n, trigger) in triggers.into_iter().enumerate() {
        assert_eq!(*order.borrow(), (0..=n).collect::<Vec<_>>());
        trigger.callback(());
    }
    assert!(turns.into_iter().all(|turn| result(turn).is_ok()));
}

#[test]
fn d12_a_hundred_thousand_grants_that_end_at_once_need_no_stack() {
    on_a_small_stack(|| {
        let lock = DeferredLock::new();
        let (trigger, first) = Deferred::<()>::new();
        let first = lock.run(move || first);
        let turns: Vec<_> = (0..100_000).map(|n| lock.run(move || Ok(n))).collect();
        trigger.callback(());
        assert!(result(first).is_ok());
        assert!(
            result(gather_results(turns))
                .unwrap()
                .into_iter()
                .eq(0..100_000)
        );
    });
}

#[test]
fn d12_the_values_and_the_consumers_of_a_queue_keep_their_order() {
    let queue = DeferredQueue::new(10, 10);
    let waiting = [queue.get().unwrap(), queue.get().unwrap()];
    (0..4).for_each(|n| queue.put(n).unwrap());
    assert_eq!(waiting.map(result), [Ok(0), Ok(1)]);
    let taken = [queue.get().unwrap(), queue.get().unwrap()];
    assert_eq!(taken.map(result), [Ok(2), Ok(3)]);
}

#[test]
fn d13_a_cancel_may_be_caught_and_the_block_continues() {
    let (_first, never) = Deferred::<()>::new();
    let (second, comes) = Deferred::new();
    let routine = coroutine(async move {
        let caught = never.await.unwrap_err();
        Ok((caught.is::<Cancelled>(), comes.await?))
    });
    routine.cancel();
    assert!(!routine.is_settled());
    second.callback("afterwards");
    assert_eq!(result(routine), Ok((true, "afterwards")));
}

#[test]
fn d13_a_panic_in_a_block_is_the_failure_of_its_deferred() {
    let (trigger, comes) = Deferred::<()>::new();
    let routine = coroutine(async move {
        comes.await?;
        assert_eq!(1, 2, "oh");
        Ok(())
    });
    trigger.callback(());
    let failure = routine.take_result().unwrap().unwrap_err();
    assert!(failure.is::<Panicked>());
}

#[test]
fn d13_a_block_is_driven_by_the_reactor_whose_calls_it_awaits() {
    let reactor = MemoryReactor::new();
    let context = reactor.clone();
    let routine = coroutine(async move {
        let mut seconds = Vec::new();
        for _ in 0..3 {
            let (trigger, later) = Deferred::new();
            drop(context.call_later(Duration::from_secs(1), move || trigger.callback(())));
            later.await?;
            seconds.push(context.clock().now().as_secs());
        }
        Ok(seconds)
    });
    for _ in 0..3 {
        assert!(!routine.is_settled());
        reactor.advance(Duration::from_secs(1));
    }
    assert_eq!(result(routine), Ok(vec![1, 2, 3]));
}

#[test]
fn d10_a_list_gives_results_in_index_order_and_an_empty_one_fires_at_once() {
    let (first, one) = Deferred::new();
    let all = DeferredList::new(vec![one, Deferred::succeed(2)]).all();
    first.callback(1);
    let values: Vec<i32> = all
        .take_result()
        .unwrap()
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(values, [1, 2]);
    assert!(DeferredList::<()>::new(Vec::new()).all().is_settled());
    assert!(
        DeferredList::<()>::new(Vec::new())
            .fire_on_one_errback()
            .is_settled()
    );
    assert!(
        !DeferredList::<()>::new(Vec::new())
            .fire_on_one_callback()
            .is_settled()
    );
}

#[test]
fn d10_a_list_fires_on_one_callback_or_on_one_errback() {
    let count = unhandled();
    let members = || vec![Deferred::fail(words("bad")), Deferred::succeed("good")];
    let first = DeferredList::new(members())
        .consume_errors()
        .fire_on_one_callback();
    assert_eq!(first.take_result().unwrap().unwrap(), ("good", 1));
    assert_eq!(count.get(), 0);
    drop(DeferredList::new(members()).fire_on_one_callback());
    assert_eq!(count.get(), 1);
    let failure = DeferredList::new(members())
        .fire_on_one_errback()
        .take_result()
        .unwrap()
        .unwrap_err();
    assert_eq!(failure.trap::<FirstError>().unwrap().index, 0);
}

#[test]
fn d10_cancelling_a_list_cancels_every_member() {
    let (one, first) = Deferred::<()>::new();
    let (two, second) = Deferred::<()>::new();
    let all = DeferredList::new(vec![first, second]).all();
    all.cancel();
    assert!(one.is_cancelled() && two.is_cancelled());
    assert!(
        all.take_result()
            .unwrap()
            .unwrap()
            .iter()
            .all(Result::is_err)
    );
}

#[test]
fn d11_gather_results_is_all_values_or_the_first_failure() {
    assert_eq!(
        result(gather_results(vec![
            Deferred::succeed(1),
            Deferred::succeed(2)
        ])),
        Ok(vec![1, 2])
    );
    let (_trigger, never) = Deferred::new();
    let failed = gather_results(vec![never, Deferred::<u8>::fail(words("no"))]);
    assert_eq!(result(failed), Err("member 1 failed: no".to_owned()));
}

#[test]
fn d11_the_first_success_wins_a_race_and_the_rest_are_cancelled() {
    let (slow, one) = Deferred::new();
    let (fast, two) = Deferred::new();
    let winner = race(vec![one, Deferred::fail(words("out")), two]);
    fast.callback("fast");
    assert!(slow.is_cancelled());
    assert_eq!(winner.take_result().unwrap().unwrap(), (2, "fast"));
    let lost = race(vec![
        Deferred::<()>::fail(words("a")),
        Deferred::fail(words("b")),
    ]);
    let failures = lost
        .take_result()
        .unwrap()
        .unwrap_err()
        .trap::<AllFailed>()
        .unwrap();
    assert_eq!(failures.to_string(), "all 2 failed; a; b");
}

#[test]
fn d12_a_semaphore_is_fifo_and_a_cancelled_waiter_leaves() {
    let semaphore = DeferredSemaphore::new(1);
    drop(semaphore.acquire());
    let (first, second, third) = (
        semaphore.acquire(),
        semaphore.acquire(),
        semaphore.acquire(),
    );
    second.cancel();
    assert_eq!(semaphore.waiting(), 2);
    drop(second.add_errback(|_| Ok(())));
    semaphore.release().unwrap();
    assert!(first.is_settled() && !third.is_settled());
    semaphore.release().unwrap();
    assert!(third.is_settled());
    semaphore.release().unwrap();
    assert_eq!(semaphore.release(), Err(ReleasedTooOften));
    assert_eq!(DeferredLock::new().release(), Err(ReleasedTooOften));
}

#[test]
fn d12_a_queue_is_fifo_bounded_and_forgets_a_cancelled_waiter() {
    let queue = DeferredQueue::new(1, 2);
    let (first, second) = (queue.get().unwrap(), queue.get().unwrap());
    assert!(matches!(queue.get(), Err(QueueError::Underflow)));
    first.cancel();
    queue.put(1).unwrap();
    assert_eq!(result(second), Ok(1));
    queue.put(2).unwrap();
    assert_eq!(queue.put(3), Err(QueueError::Overflow));
    assert!(result(first).is_err());
}

#[test]
fn d13_a_coroutine_takes_ready_values_without_waiting() {
    let sum = coroutine(async {
        let mut sum = 0;
        for n in 0..100_000_u64 {
            sum += Deferred::succeed(n).await?;
        }
        Ok(sum)
    });
    assert_eq!(result(sum), Ok(4_999_950_000));
}

#[test]
fn d13_a_cancel_arrives_at_the_await_and_cleanup_runs() {
    struct Cleanup(Rc<Cell<bool>>);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let cleaned = Rc::new(Cell::new(false));
    let cleanup = Cleanup(Rc::clone(&cleaned));
    let (trigger, never) = Deferred::<()>::new();
    let routine = coroutine(async move {
        let _cleanup = cleanup;
        never.await
    });
    assert!(!cleaned.get());
    routine.cancel();
    assert!(cleaned.get() && trigger.is_cancelled());
    assert!(
        routine
            .take_result()
            .unwrap()
            .unwrap_err()
            .is::<Cancelled>()
    );
}

#[test]
fn d13_an_abandoned_deferred_fails_at_its_await() {
    let alive = Rc::new(());
    let held = Rc::clone(&alive);
    let (trigger, never) = Deferred::<()>::new();
    let routine = coroutine(async move {
        let _held = held;
        never.await
    });
    drop(trigger);
    assert_eq!(Rc::strong_count(&alive), 1);
    assert!(
        routine
            .take_result()
            .unwrap()
            .unwrap_err()
            .is::<Abandoned>()
    );
}

#[test]
fn d13_coroutines_that_wait_for_each_other_need_no_stack() {
    on_a_small_stack(|| {
        let (trigger, mut deferred) = Deferred::new();
        for _ in 0..100_000 {
            let inner: Deferred<usize> = deferred;
            deferred = coroutine(async move { Ok(inner.await? + 1) });
        }
        trigger.callback(0);
        assert_eq!(deferred.take_result().unwrap().unwrap(), 100_000);
    });
}

#[test]
fn d14_maybe_deferred_turns_a_result_a_deferred_or_a_panic_into_a_deferred() {
    assert_eq!(result(maybe_deferred(|| Ok(1))), Ok(1));
    assert_eq!(result(maybe_deferred(|| Deferred::succeed(2))), Ok(2));
    let failure = maybe_deferred(|| -> Result<(), Failure> { panic!("oh") })
        .take_result()
        .unwrap()
        .unwrap_err();
    assert_eq!(
        failure.trap::<Panicked>().unwrap(),
        Panicked("oh".to_owned())
    );
}

#[test]
fn d14_a_value_a_failure_and_a_deferred_become_deferreds() {
    assert_eq!(result(Deferred::succeed(1)), Ok(1));
    assert_eq!(
        result(Deferred::<()>::fail(words("no"))),
        Err("no".to_owned())
    );
    let (trigger, deferred) = Deferred::new();
    let same = maybe_deferred(move || deferred);
    trigger.callback(2);
    assert_eq!(result(same), Ok(2));
}
