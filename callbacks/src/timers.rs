//! Delayed calls, in order. The same code runs under the reactor, which moves time once per turn, and in tests, which move
//! it by hand ([`Clock::advance`], R8). This file names no real clock.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use slab::Slab;

use crate::log;

mod delayed;

pub use delayed::Delayed;

/// A clock and its delayed calls. Clones are the same clock.
///
/// ```
/// use callbacks::Clock;
/// use std::{cell::RefCell, rc::Rc, time::Duration};
///
/// let clock = Clock::new();
/// let ran = Rc::new(RefCell::new(Vec::new()));
/// for (name, seconds) in [("late", 2), ("early", 1), ("early too", 1)] {
///     let ran = Rc::clone(&ran);
///     clock.call_later(Duration::from_secs(seconds), move || ran.borrow_mut().push(name));
/// }
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(*ran.borrow(), ["early", "early too"]);
/// ```
#[derive(Clone, Default)]
pub struct Clock {
    timers: Rc<RefCell<Timers>>,
}

#[derive(Default)]
struct Timers {
    /// The time at the start of this turn.
    now: Duration,
    /// Read when a call is made: counted from the start of a long turn, the call would be early (R1).
    source: Option<Source>,
    /// Whether the clock has stopped for good, so that new calls are dropped.
    stopped: bool,
    made: u64,
    /// The number of calls made before this turn; only these run in it.
    made_before: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    calls: Slab<Call>,
}

/// Reads a clock that moves during a turn.
type Source = Box<dyn Fn() -> Duration>;

/// An entry of the queue, sorted by time and then in the order of the calls (R1). It may be stale; see [`Call`].
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    due: Duration,
    made: u64,
    key: usize,
}

/// A call that waits. Its entry in the queue is the one for time `queued`. When that entry comes up and `due` is later, the
/// call is queued again, so postponing a call is one store. Cancelling a call leaves a stale entry behind.
struct Call {
    made: u64,
    due: Duration,
    queued: Duration,
    /// The type of `action`, which names the function that made the call.
    what: &'static str,
    action: Box<dyn FnOnce()>,
}

/// Stale entries that the queue may keep before it is cleaned up.
const STALE_ENTRIES_MAX: usize = 64;

impl Clock {
    /// Creates a clock that stands at zero until it is advanced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a clock that moves once per turn; delays count from the time that `source` returns.
    pub(crate) fn with_source(source: Source) -> Self {
        let clock = Self::new();
        clock.timers.borrow_mut().source = Some(source);
        clock
    }

    /// Returns the time since the clock's origin. Under a reactor it moves once per turn.
    pub fn now(&self) -> Duration {
        self.timers.borrow().now
    }

    /// Runs `action` once, `delay` from now: never early, not before the next turn, and equal times in the order of the
    /// calls (R1). On the clock of a closed reactor, `action` is dropped.
    pub fn call_later<F: FnOnce() + 'static>(&self, delay: Duration, action: F) -> DelayedCall {
        let mut timers = self.timers.borrow_mut();
        let made = timers.made;
        if timers.stopped {
            drop(timers); // Dropping `action` may call this clock.
            return self.delayed_call(usize::MAX, made);
        }
        let due = timers.time().saturating_add(delay);
        timers.made += 1;
        let key = timers.calls.insert(Call {
            made,
            due,
            queued: due,
            what: std::any::type_name::<F>(),
            action: Box::new(action),
        });
        timers.queue.push(Reverse(Entry { due, made, key }));
        self.delayed_call(key, made)
    }

    fn delayed_call(&self, key: usize, made: u64) -> DelayedCall {
        DelayedCall {
            timers: Rc::downgrade(&self.timers),
            key,
            made,
        }
    }

    /// Moves time by `by`, then runs the calls that are due. Calls made by these wait for the next advance, even one by
    /// zero (R1, R8). (Twisted's test clock runs them too if they are due by then.)
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
        self.run_due();
    }

    /// Returns how many calls wait.
    pub fn pending(&self) -> usize {
        self.timers.borrow().calls.len()
    }

    /// Begins a turn: moves time to `now`, but never back.
    pub(crate) fn set(&self, now: Duration) {
        let mut timers = self.timers.borrow_mut();
        timers.now = timers.now.max(now);
        timers.made_before = timers.made;
    }

    /// Runs the due calls made before this turn.
    pub(crate) fn run_due(&self) {
        loop {
            // A statement of its own, so that the timers are not borrowed during the call.
            let action = self.timers.borrow_mut().pop_due();
            let Some(action) = action else { return };
            log::contained(action);
        }
    }

    /// Returns when the next call is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let mut timers = self.timers.borrow_mut();
        timers.settle();
        timers.queue.peek().map(|Reverse(entry)| entry.due)
    }

    /// Drops every call without running it, and every call made from now on.
    pub(crate) fn stop(&self) {
        let (calls, queue) = {
            let mut timers = self.timers.borrow_mut();
            timers.stopped = true;
            (
                std::mem::take(&mut timers.calls),
                std::mem::take(&mut timers.queue),
            )
        };
        drop((calls, queue));
    }
}

impl Timers {
    /// Returns the time now, not at the start of this turn.
    fn time(&self) -> Duration {
        let time = self.source.as_ref().map(|source| source());
        time.map_or(self.now, |time| time.max(self.now))
    }

    /// Removes and returns the first call that is due.
    fn pop_due(&mut self) -> Option<Box<dyn FnOnce()>> {
        self.settle();
        let Reverse(first) = self.queue.peek()?;
        if first.due > self.now || first.made >= self.made_before {
            return None;
        }
        let key = first.key;
        self.queue.pop();
        Some(self.calls.remove(key).action)
    }

    /// Removes stale entries from the front of the queue, and queues postponed calls again.
    fn settle(&mut self) {
        while let Some(Reverse(first)) = self.queue.peek() {
            let Entry { due, made, key } = *first;
            match self.calls.get_mut(key) {
                Some(call) if call.made == made && call.queued == due => {
                    if call.due == due {
                        return;
                    }
                    call.queued = call.due;
                    let due = call.due;
                    self.queue.pop();
                    self.queue.push(Reverse(Entry { due, made, key }));
                }
                _ => drop(self.queue.pop()),
            }
        }
    }

    /// Moves a call; if it is now due before its entry, it gets a new one.
    fn reschedule(&mut self, key: usize, due: Duration) {
        let call = &mut self.calls[key];
        call.due = due;
        if due < call.queued {
            call.queued = due;
            let made = call.made;
            self.queue.push(Reverse(Entry { due, made, key }));
            self.clean_up();
        }
    }

    /// Drops stale entries once they outnumber the others.
    fn clean_up(&mut self) {
        if self.queue.len() > 2 * self.calls.len() + STALE_ENTRIES_MAX {
            let calls = &self.calls;
            self.queue.retain(|Reverse(entry)| {
                calls
                    .get(entry.key)
                    .is_some_and(|call| call.made == entry.made && call.queued == entry.due)
            });
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Clock")
            .field("now", &self.now())
            .field("pending", &self.pending())
            .finish()
    }
}

/// A call made with [`Clock::call_later`]. Dropping this does not cancel it.
///
/// ```
/// use callbacks::{Clock, NotPending};
/// use std::time::Duration;
///
/// let (clock, second) = (Clock::new(), Duration::from_secs(1));
/// let call = clock.call_later(second, || ());
/// call.delay(second)?; // Due at 2 s.
/// clock.advance(second);
/// call.reset(second * 3)?; // Due at 4 s.
/// clock.advance(second * 2);
/// assert!(call.is_active());
/// call.cancel()?;
/// assert_eq!(call.cancel(), Err(NotPending));
/// # Ok::<(), NotPending>(())
/// ```
#[derive(Clone)]
pub struct DelayedCall {
    timers: Weak<RefCell<Timers>>,
    key: usize,
    made: u64,
}

/// The call has run or was cancelled (R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the call has already run or was cancelled")]
pub struct NotPending;

impl DelayedCall {
    /// Cancels the call and drops its action at once.
    ///
    /// # Errors
    /// Fails if the call has run or was cancelled (R2).
    pub fn cancel(&self) -> Result<(), NotPending> {
        let action = self.with(|timers, key| {
            let call = timers.calls.remove(key);
            timers.clean_up();
            call.action
        })?;
        drop(action);
        Ok(())
    }

    /// Moves the call to `delay` from now.
    ///
    /// # Errors
    /// Fails if the call has run or was cancelled (R2).
    pub fn reset(&self, delay: Duration) -> Result<(), NotPending> {
        self.with(|timers, key| {
            let due = timers.time().saturating_add(delay);
            timers.reschedule(key, due);
        })
    }

    /// Moves the call to `delay` after the time it was due.
    ///
    /// # Errors
    /// Fails if the call has run or was cancelled (R2).
    pub fn delay(&self, delay: Duration) -> Result<(), NotPending> {
        self.with(|timers, key| {
            let due = timers.calls[key].due.saturating_add(delay);
            timers.reschedule(key, due);
        })
    }

    /// Returns whether the call still waits.
    pub fn is_active(&self) -> bool {
        self.with(|_, _| ()).is_ok()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Timers, usize) -> T) -> Result<T, NotPending> {
        let timers = self.timers.upgrade().ok_or(NotPending)?;
        let mut timers = timers.borrow_mut();
        match timers.calls.get(self.key) {
            Some(call) if call.made == self.made => Ok(act(&mut timers, self.key)),
            _ => Err(NotPending),
        }
    }
}

impl fmt::Debug for DelayedCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DelayedCall")
            .field("active", &self.is_active())
            .finish_non_exhaustive()
    }
}
