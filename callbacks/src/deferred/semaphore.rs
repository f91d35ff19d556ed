//! Taking turns: a semaphore, and the lock that is a semaphore of one. Those who wait are served in the order they came
//! (D12).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::failure::{Abandoned, Cancelled};

use super::{Deferred, Outcome, Trigger};

/// A number of permits, lent first come first served. Clones are the same semaphore.
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
    came: u64,
    waiting: BTreeMap<u64, Trigger<()>>,
    /// Permits are being given out, further down this stack.
    giving: bool,
}

/// There is no permit out that could be given back (D12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("released more often than acquired")]
pub struct ReleasedTooOften;

impl DeferredSemaphore {
    /// A semaphore of `permits`; at least one.
    pub fn new(permits: usize) -> Self {
        let limit = permits.max(1);
        Self {
            state: Rc::new(RefCell::new(State {
                limit,
                free: limit,
                came: 0,
                waiting: BTreeMap::new(),
                giving: false,
            })),
        }
    }

    /// Fires with a permit, to be given back by [`release`](Self::release). Cancelled, it leaves the queue.
    pub fn acquire(&self) -> Deferred<()> {
        if self.try_acquire() {
            return Deferred::succeed(());
        }
        let mut state = self.state.borrow_mut();
        let place = state.came;
        state.came += 1;
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

    /// Takes a permit if there is one that nobody waits for.
    fn try_acquire(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let free = state.free > 0 && state.waiting.is_empty();
        state.free -= usize::from(free);
        free
    }

    /// Gives a permit back; the first in the queue has it at once.
    ///
    /// # Errors
    /// None was out.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        {
            let mut state = self.state.borrow_mut();
            if state.free == state.limit {
                return Err(ReleasedTooOften);
            }
            state.free += 1;
            if std::mem::replace(&mut state.giving, true) {
                return Ok(());
            }
        }
        // A loop, not recursion: whoever gets a permit may release it on the spot.
        while let Some(next) = self.next() {
            next.callback(());
        }
        self.state.borrow_mut().giving = false;
        Ok(())
    }

    /// Runs `work` with a permit, which is given back when its result has come.
    pub fn run<O: Outcome>(&self, work: impl FnOnce() -> O + 'static) -> Deferred<O::Value> {
        if self.try_acquire() {
            // Nothing to wait for, and so nothing to remember.
            return self.clone().run_with_permit(work);
        }
        // The semaphore owns who waits for it, not the other way round.
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

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    fn next(&self) -> Option<Trigger<()>> {
        let mut state = self.state.borrow_mut();
        if state.free == 0 {
            return None;
        }
        let (_, next) = state.waiting.pop_first()?;
        state.free -= 1;
        Some(next)
    }
}

/// One at a time, first come first served. Clones are the same lock.
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
    /// A free lock.
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
    /// It was free.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        self.0.release()
    }

    /// As [`DeferredSemaphore::run`].
    pub fn run<O: Outcome>(&self, work: impl FnOnce() -> O + 'static) -> Deferred<O::Value> {
        self.0.run(work)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}
