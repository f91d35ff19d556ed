//! A queue of values and of consumers that wait for them, both in order and both bounded (D12).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use crate::failure::Cancelled;

use super::{Deferred, Trigger};

/// A first-in, first-out queue of values. Clones are the same queue.
///
/// ```
/// use callbacks::DeferredQueue;
///
/// let queue = DeferredQueue::new(10, 10);
/// let early = queue.get().unwrap();
/// queue.put("first").unwrap();
/// queue.put("second").unwrap();
/// assert_eq!(early.take_result().unwrap().unwrap(), "first");
/// assert_eq!(queue.get().unwrap().take_result().unwrap().unwrap(), "second");
/// ```
pub struct DeferredQueue<T> {
    state: Rc<RefCell<State<T>>>,
}

struct State<T> {
    values: VecDeque<T>,
    values_max: usize,
    /// The place of the next consumer that waits.
    next_place: u64,
    waiting: BTreeMap<u64, Trigger<T>>,
    waiting_max: usize,
}

/// A bound of the queue was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// It holds its maximum of values.
    #[error("the queue is full")]
    Overflow,
    /// Its maximum of consumers wait for a value.
    #[error("too many consumers wait for a value")]
    Underflow,
}

impl<T: 'static> DeferredQueue<T> {
    /// Creates a queue of up to `values_max` values, for which up to `waiting_max` consumers can wait.
    pub fn new(values_max: usize, waiting_max: usize) -> Self {
        Self {
            state: Rc::new(RefCell::new(State {
                values: VecDeque::new(),
                values_max,
                next_place: 0,
                waiting: BTreeMap::new(),
                waiting_max,
            })),
        }
    }

    /// Gives `value` to the consumer that has waited longest, or stores it.
    ///
    /// # Errors
    /// [`QueueError::Overflow`] if the queue is full; `value` is then dropped.
    pub fn put(&self, value: T) -> Result<(), QueueError> {
        let mut state = self.state.borrow_mut();
        if let Some((_, waiting)) = state.waiting.pop_first() {
            drop(state);
            waiting.callback(value);
            return Ok(());
        }
        if state.values.len() >= state.values_max {
            return Err(QueueError::Overflow);
        }
        state.values.push_back(value);
        Ok(())
    }

    /// Returns a Deferred of the next value. Cancelling it removes it from the queue.
    ///
    /// # Errors
    /// [`QueueError::Underflow`] if too many consumers wait already.
    pub fn get(&self) -> Result<Deferred<T>, QueueError> {
        let mut state = self.state.borrow_mut();
        if let Some(value) = state.values.pop_front() {
            return Ok(Deferred::succeed(value));
        }
        if state.waiting.len() >= state.waiting_max {
            return Err(QueueError::Underflow);
        }
        let place = state.next_place;
        state.next_place += 1;
        let queue = Rc::downgrade(&self.state);
        let (trigger, value) = Deferred::with_canceller(move || {
            let left = queue
                .upgrade()
                .and_then(|state| state.borrow_mut().waiting.remove(&place));
            if let Some(left) = left {
                left.errback(Cancelled);
            }
            None
        });
        state.waiting.insert(place, trigger);
        Ok(value)
    }
}

impl<T> Clone for DeferredQueue<T> {
    fn clone(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
        }
    }
}

impl<T> fmt::Debug for DeferredQueue<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        out.debug_struct("DeferredQueue")
            .field("values", &state.values.len())
            .field("waiting", &state.waiting.len())
            .finish()
    }
}
