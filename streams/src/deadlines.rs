//! Deadlines: one queue for all connections of a worker, with one timer behind it.
//!
//! A deadline that moves to a later time, as an idle timeout does with every request, moves in the connection alone:
//! the queue wakes the connection at the old time, and the connection queues again. `DelayQueue` of `tokio_util` would
//! need a shared cell for each entry, because it reuses the keys of expired ones, and cannot wake all; MEASURING has
//! the sizes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures::FutureExt;
use poetry::FetchFailure;
use poetry::error::Timeout;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The longest delay, longer than any program runs. Longer ones are cut to it.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);

/// The instant `delay` after `now`. It does not overflow.
pub(crate) fn after(now: Instant, delay: Duration) -> Instant {
    now + delay.min(FAR)
}

/// The end of a fetch that begins now, if `total` bounds it.
pub(crate) fn deadline(total: Option<Duration>) -> Option<Instant> {
    total.map(|total| after(Instant::now(), total))
}

/// The result of `future`, or a failure if `deadline` passes first (S15).
pub(crate) fn until<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T, FetchFailure>>,
) -> impl Future<Output = Result<T, FetchFailure>> {
    let late = |_| Err(FetchFailure::TimedOut(Timeout::Total));
    // Not an `async fn`, which would hold the future as its argument and in each branch. Boxed with its timer, because
    // few fetches have a deadline and the others should not hold room for one.
    match deadline {
        Some(deadline) => {
            let timely = Box::pin(timeout_at(deadline, future));
            timely
                .map(move |ended| ended.unwrap_or_else(late))
                .left_future()
        }
        None => future.right_future(),
    }
}

/// The deadlines of one worker, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: RefCell<BTreeMap<Key, Waker>>,
    last_ticket: Cell<u64>,
    /// The time that the timer is set to.
    armed: Cell<Option<Instant>>,
    /// Wakes the task that runs the timer.
    timer: RefCell<Option<Waker>>,
}

/// The time, and a number that distinguishes entries of the same time.
type Key = (Instant, u64);

impl Deadlines {
    /// Wakes tasks when they are due, for ever. One task of the worker runs this.
    pub(crate) async fn run(&self) {
        let mut sleep = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            loop {
                self.wake_due();
                self.armed.set(self.soonest());
                let Some(soonest) = self.armed.get() else {
                    self.timer.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                };
                if sleep.deadline() != soonest {
                    sleep.as_mut().reset(soonest);
                }
                self.timer.replace(Some(cx.waker().clone()));
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await
    }

    /// Wakes all waiting tasks, due or not.
    pub(crate) fn wake_all(&self) {
        self.queue.borrow().values().for_each(Waker::wake_by_ref);
    }

    fn soonest(&self) -> Option<Instant> {
        self.queue.borrow().keys().next().map(|&(at, _)| at)
    }

    fn wake_due(&self) {
        let now = Instant::now();
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.first_entry().filter(|first| first.key().0 <= now) {
            first.remove().wake();
        }
    }

    fn insert(&self, at: Instant, waker: Waker) -> Key {
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        self.queue.borrow_mut().insert((at, ticket), waker);
        if self.armed.get().is_none_or(|armed| at < armed)
            && let Some(timer) = self.timer.borrow_mut().take()
        {
            timer.wake();
        }
        (at, ticket)
    }

    fn remove(&self, key: Key) {
        self.queue.borrow_mut().remove(&key);
    }
}

/// One deadline, which its owner may move. One task polls it.
#[derive(Debug)]
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    at: Instant,
    queued: Option<Key>,
}

impl Deadline {
    /// A deadline that is due at once until it is set.
    pub(crate) fn new(deadlines: Rc<Deadlines>) -> Self {
        Self {
            deadlines,
            at: Instant::now(),
            queued: None,
        }
    }

    /// Moves the deadline.
    #[inline]
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Ready once the deadline has passed; the task is woken then.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    pub(crate) fn poll_passed(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if now >= self.at {
            return Poll::Ready(());
        }
        match self.queued {
            // The task is woken in time and polls again.
            Some((queued, _)) if queued <= self.at && queued > now => {}
            _ => self.queue(cx),
        }
        Poll::Pending
    }

    fn queue(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker().clone();
        if let Some(stale) = self.queued.replace(self.deadlines.insert(self.at, waker)) {
            self.deadlines.remove(stale);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(queued) = self.queued {
            self.deadlines.remove(queued);
        }
    }
}

#[cfg(test)]
mod tests;
