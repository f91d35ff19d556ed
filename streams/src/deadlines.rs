//! Deadlines: one queue for all connections of a worker, with one timer behind it.
//!
//! A deadline that moves to a later time, as an idle timeout does with every request, moves in the connection alone:
//! the queue wakes the connection at the old time, and the connection queues again. `DelayQueue` of `tokio_util` would
//! need a shared cell for each entry, because it reuses the keys of expired ones, and cannot wake all; MEASURING has
//! the sizes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::pin::pin;
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
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// When the worker started; times count from here.
    origin: Instant,
    queue: RefCell<BTreeMap<Key, Waker>>,
    last_ticket: Cell<u64>,
    /// The time that the timer is set to.
    armed: Cell<Option<Micros>>,
    /// Wakes the task that runs the timer.
    timer: RefCell<Option<Waker>>,
}

/// Microseconds since the origin of the queue.
pub(crate) type Micros = u64;

/// `delay` in microseconds, at most [`FAR`].
#[inline]
pub(crate) fn micros(delay: Duration) -> Micros {
    whole_micros(delay.min(FAR))
}

/// The same without a bound. (`as_micros` computes in 128 bits, on the path of every request.)
#[inline]
fn whole_micros(duration: Duration) -> Micros {
    duration.as_secs() * 1_000_000 + u64::from(duration.subsec_micros())
}

/// A time and, in the lowest bits, a number that distinguishes entries of the same time: one word, where both would be three
/// (MEASURING has the sizes). Never 0.
type Key = NonZeroU64;

/// The bits of a ticket. The others hold 35 years.
const TICKET_BITS: u32 = 14;

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            queue: RefCell::default(),
            last_ticket: Cell::new(0),
            armed: Cell::new(None),
            timer: RefCell::default(),
        }
    }
}

impl Deadlines {
    /// Wakes tasks when they are due, for ever. One task of the worker runs this.
    pub(crate) async fn run(&self) {
        let mut sleep = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            loop {
                self.wake_due();
                self.armed.set(self.soonest());
                self.timer.replace(Some(cx.waker().clone()));
                let Some(soonest) = self.armed.get() else {
                    return Poll::Pending;
                };
                let soonest = self.origin + Duration::from_micros(soonest);
                if sleep.deadline() != soonest {
                    sleep.as_mut().reset(soonest);
                }
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await
    }

    /// Wakes all waiting tasks, due or not.
    pub(crate) fn wake_all(&self) {
        self.queue.borrow().values().for_each(Waker::wake_by_ref);
    }

    /// The time now, in whole microseconds.
    #[inline]
    pub(crate) fn now(&self) -> Micros {
        self.time(Instant::now())
    }

    /// The time of `at`.
    #[inline]
    pub(crate) fn time(&self, at: Instant) -> Micros {
        whole_micros(at.duration_since(self.origin))
    }

    fn soonest(&self) -> Option<Micros> {
        self.queue.borrow().keys().next().copied().map(time_of)
    }

    fn wake_due(&self) {
        let now = self.now();
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue
            .first_entry()
            .filter(|first| time_of(*first.key()) <= now)
        {
            first.remove().wake();
        }
    }

    fn insert(&self, at: Micros, waker: Waker) -> Key {
        let key = self.insert_unique(at, waker);
        if self.armed.get().is_none_or(|armed| at < armed)
            && let Some(timer) = self.timer.borrow_mut().take()
        {
            timer.wake();
        }
        key
    }

    /// Inserts under the next ticket that is free at this time; there is one, except among thousands in one microsecond, of
    /// which the last are due in the next.
    fn insert_unique(&self, at: Micros, waker: Waker) -> Key {
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        let mut key = key_of(at, ticket);
        let mut queue = self.queue.borrow_mut();
        loop {
            match queue.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(waker);
                    return key;
                }
                Entry::Occupied(_) => key = key.saturating_add(1),
            }
        }
    }

    fn remove(&self, key: Key) {
        self.queue.borrow_mut().remove(&key);
    }
}

fn key_of(at: Micros, ticket: u64) -> Key {
    let ticket = ticket % (1 << TICKET_BITS);
    NonZeroU64::new(at << TICKET_BITS | ticket).unwrap_or(NonZeroU64::MIN)
}

#[inline]
fn time_of(key: Key) -> Micros {
    key.get() >> TICKET_BITS
}

/// One deadline, which its owner may move, always in the same queue. One task polls it. Its owner [clears](Self::clear) it before it
/// drops it: a deadline has no room for its queue.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Cell<Micros>,
    queued: Cell<Option<Key>>,
}

impl Deadline {
    /// Moves the deadline.
    #[inline]
    pub(crate) fn set(&self, at: Micros) {
        self.at.set(at);
    }

    /// Ready once the deadline has passed; the task is woken then. At first it is due at once.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    pub(crate) fn poll_passed(
        &self,
        now: Micros,
        queue: &Deadlines,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let at = self.at.get();
        if now >= at {
            return Poll::Ready(());
        }
        match self.queued.get().map(time_of) {
            // The task is woken in time and polls again.
            Some(queued) if queued <= at && queued > now => {}
            _ => self.queue(queue, cx),
        }
        Poll::Pending
    }

    fn queue(&self, queue: &Deadlines, cx: &mut Context<'_>) {
        self.clear(queue);
        let key = queue.insert(self.at.get(), cx.waker().clone());
        self.queued.set(Some(key));
    }

    /// Takes the deadline out of the queue.
    #[inline]
    pub(crate) fn clear(&self, queue: &Deadlines) {
        if let Some(queued) = self.queued.take() {
            queue.remove(queued);
        }
    }
}

#[cfg(test)]
mod tests;
