//! A semaphore, and a lock, which is a semaphore of one. Waiters are served first come, first served (D12).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::failure::{Abandoned, Cancelled};

use super::{Deferred, Outcome, Trigger};

/// A number of permits, granted first come, first served. Clones are the same semaphore.
///
/// ```
/// use callbacks::{Deferred, DeferredSemaphore};
///
/// let semaphore = DeferredSemaphore::new(1);
/// let (first_ends, first) = Deferred::new();
/// let first = semaphore.run(move || first);
/// let second = semaphore.run(|| Ok("second"));
/// assert!(!second.has_fired());
/// first_ends.callback("first");
/// assert_eq!(first.take_result().unwrap().unwrap(), "first");
/// assert_eq!(second.take_result().unwrap().unwrap(), "second");
/// ```
#[derive(Clone, Debug)]
pub struct DeferredSemaphore {
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    free: usize,
    /// The place of the next waiter.
    next_place: u64,
    waiting: BTreeMap<u64, Trigger<()>>,
    /// Whether a call further up this stack is granting permits.
    granting: bool,
}

/// `release` without a permit to release (D12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("released more often than acquired")]
pub struct ReleasedTooOften;

impl DeferredSemaphore {
    /// Creates a semaphore of `permits`, at least one.
    pub fn new(permits: usize) -> Self {
        let limit = permits.max(1);
        Self {
            state: Rc::new(RefCell::new(State {
                limit,
                free: limit,
                next_place: 0,
                waiting: BTreeMap::new(),
                granting: false,
            })),
        }
    }

    /// Returns a Deferred that fires when it has a permit, which [`release`](Self::release) gives back. Cancelling it
    /// removes it from the queue.
    pub fn acquire(&self) -> Deferred<()> {
        if self.try_acquire() {
            return Deferred::succeed(());
        }
        let mut state = self.state.borrow_mut();
        let place = state.next_place;
        state.next_place += 1;
        let queue = Rc::downgrade(&self.state);
        let (trigger, deferred) = Deferred::with_canceller(move || {
            let left = queue
                .upgrade()
                .and_then(|state| state.borrow_mut().waiting.remove(&place));
            if let Some(left) = left {
                left.errback(Cancelled);
            }
            None
        });
        state.waiting.insert(place, trigger);
        deferred
    }

    /// Takes a permit if one is free and no Deferred waits for it.
    fn try_acquire(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let free = state.free > 0 && state.waiting.is_empty();
        state.free -= usize::from(free);
        free
    }

    /// Gives a permit back and grants it to the first waiter.
    ///
    /// A release during a grant takes effect when that grant's callbacks have run, so that a queue of any length
    /// is served in constant stack. (Twisted grants it within the other grant.)
    ///
    /// # Errors
    /// All permits are free.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        {
            let mut state = self.state.borrow_mut();
            if state.free == state.limit {
                return Err(ReleasedTooOften);
            }
            state.free += 1;
            if std::mem::replace(&mut state.granting, true) {
                return Ok(());
            }
        }
        // A loop, not recursion: a waiter may release its permit at once.
        while let Some(next) = self.next_grant() {
            next.callback(());
        }
        self.state.borrow_mut().granting = false;
        Ok(())
    }

    /// Runs `work` with a permit, and releases the permit when the result of `work` has come.
    ///
    /// The returned Deferred waits for the work's own, so pausing it holds its result but not the permit.
    pub fn run<O: Outcome>(&self, work: impl FnOnce() -> O + 'static) -> Deferred<O::Value> {
        if self.try_acquire() {
            // As below, without a callback on a Deferred that has fired.
            return Deferred::waiting_for(self.clone().run_with_permit(work));
        }
        // Weak: a waiter must not keep its own semaphore alive.
        let semaphore = Rc::downgrade(&self.state);
        self.acquire()
            .add_callback(move |()| match semaphore.upgrade() {
                Some(state) => Self { state }.run_with_permit(work),
                None => Deferred::fail(Abandoned),
            })
    }

    fn run_with_permit<O: Outcome>(self, work: impl FnOnce() -> O) -> Deferred<O::Value> {
        super::maybe_deferred(work).add_both(move |result| {
            self.release()?;
            result
        })
    }

    /// Returns the number of waiters.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    fn next_grant(&self) -> Option<Trigger<()>> {
        let mut state = self.state.borrow_mut();
        if state.free == 0 {
            return None;
        }
        let (_, next) = state.waiting.pop_first()?;
        state.free -= 1;
        Some(next)
    }
}

/// A lock, granted first come, first served. Clones are the same lock.
///
/// ```
/// use callbacks::{DeferredLock, ReleasedTooOften};
///
/// let lock = DeferredLock::new();
/// let (held, waits) = (lock.acquire(), lock.acquire());
/// assert!(held.is_settled() && !waits.is_settled());
/// lock.release()?;
/// assert!(waits.is_settled());
/// lock.release()?;
/// assert_eq!(lock.release(), Err(ReleasedTooOften));
/// # Ok::<(), ReleasedTooOften>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeferredLock(DeferredSemaphore);

impl Default for DeferredLock {
    fn default() -> Self {
        Self::new()
    }
}

impl DeferredLock {
    /// Creates a free lock.
    pub fn new() -> Self {
        Self(DeferredSemaphore::new(1))
    }

    /// As [`DeferredSemaphore::acquire`].
    pub fn acquire(&self) -> Deferred<()> {
        self.0.acquire()
    }

    /// As [`DeferredSemaphore::release`].
    ///
    /// # Errors
    /// The lock is free.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        self.0.release()
    }

    /// As [`DeferredSemaphore::run`].
    pub fn run<O: Outcome>(&self, work: impl FnOnce() -> O + 'static) -> Deferred<O::Value> {
        self.0.run(work)
    }

    /// Returns the number of waiters.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}
