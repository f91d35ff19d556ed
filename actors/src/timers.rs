//! An arbiter's deadlines: one queue for all its processes, with at most one entry for the timeout of each, so that an idle
//! connection owns no timer, and one for each timer that a process sets itself. Its clock is the real one of `net`, or one
//! that a test moves. `tokio_util::time::DelayQueue` would cost the same, but a test can stop its time only with tokio's
//! `test-util`, which would slow down the clock of every build.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// An entry's place in the queue: when it is due, and a serial number.
pub(crate) type Key = (Duration, u64);

/// A clock: monotonic (S22), or moved by a test.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    /// Reads a monotonic clock.
    Real(fn() -> Duration),
    /// Stands still until [`Timers::move_to`] moves it.
    Virtual(Rc<Cell<Duration>>),
}

/// The deadlines of one arbiter, as times since the clock's origin.
pub(crate) struct Timers {
    time: Time,
    next: Cell<u64>,
    /// When [`Timers::fire`] was last called.
    fired: Cell<Duration>,
    queue: RefCell<BTreeMap<Key, Waker>>,
    /// The task that waits for the first entry, and when that is due.
    driver: RefCell<Option<(Duration, Waker)>>,
}

impl Timers {
    pub(crate) fn new(time: Time) -> Self {
        Self {
            time,
            next: Cell::new(0),
            fired: Cell::default(),
            queue: RefCell::default(),
            driver: RefCell::default(),
        }
    }

    /// Returns the current time.
    #[inline]
    pub(crate) fn now(&self) -> Duration {
        match &self.time {
            Time::Real(now) => now(),
            Time::Virtual(now) => now.get(),
        }
    }

    /// Wakes `waker` at `due`, unless the returned key is cancelled before.
    pub(crate) fn insert(&self, due: Duration, waker: Waker) -> Key {
        let key = (due, self.next.replace(self.next.get() + 1));
        self.queue.borrow_mut().insert(key, waker);
        // The driver sleeps until the first entry; a later one need not wake it.
        let sleeping = self.driver.borrow_mut().take_if(|(until, _)| due < *until);
        if let Some((_, driver)) = sleeping {
            driver.wake();
        }
        key
    }

    /// Removes an entry, if it has not fired.
    pub(crate) fn cancel(&self, key: Key) {
        self.queue.borrow_mut().remove(&key);
    }

    /// Wakes all entries that are due, in the order of their deadlines.
    pub(crate) fn fire(&self) {
        let now = self.now();
        self.fired.set(now);
        loop {
            let due = {
                let mut queue = self.queue.borrow_mut();
                match queue.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            due.wake();
        }
    }

    /// Returns whether an entry has fired, without reading the clock.
    #[inline]
    pub(crate) fn has_fired(&self, key: Key) -> bool {
        key.0 <= self.fired.get()
    }

    /// Returns the time up to which deadlines have fired.
    pub(crate) fn fired(&self) -> Duration {
        self.fired.get()
    }

    /// Returns when the first entry is due. `waker` is woken when an earlier one is inserted.
    pub(crate) fn first(&self, waker: &Waker) -> Option<Duration> {
        let first = self.queue.borrow().first_key_value().map(|(key, _)| key.0);
        let until = first.unwrap_or(Duration::MAX);
        *self.driver.borrow_mut() = Some((until, waker.clone()));
        first
    }

    /// Moves a virtual time to `now`, or to the first deadline before it, and fires the entries due then. Returns whether
    /// `now` is reached. Real time is not moved.
    pub(crate) fn move_to(&self, now: Duration) -> bool {
        let Time::Virtual(time) = &self.time else {
            return true;
        };
        let first = self.queue.borrow().first_key_value().map(|(key, _)| key.0);
        let stop = first.map_or(now, |first| first.clamp(time.get(), now));
        time.set(stop);
        self.fire();
        first.is_none_or(|first| first > now)
    }
}
