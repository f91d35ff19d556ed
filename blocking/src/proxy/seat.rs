//! Where one client's thread waits: for the fetch, for the client to leave, or for the second thread of the client to end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::{CloseReason, Poem};

use crate::net;

/// What ends a client's wait. The first outcome counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The poem has arrived.
    Arrived(Poem),
    /// The connection closes without it, for this reason.
    Closed(CloseReason),
}

/// The place of one waiting client.
#[derive(Debug)]
pub(crate) struct Seat {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    outcome: Option<Outcome>,
    /// Whether a second thread reads what the client sends.
    is_read: bool,
    /// Bytes that this thread may still discard.
    to_discard: usize,
}

impl Default for Seat {
    fn default() -> Self {
        let state = State {
            outcome: None,
            is_read: false,
            to_discard: usize::MAX,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl Seat {
    // ANCHOR: seat
    /// Sets the outcome, unless there is one, and wakes the thread that waits for it.
    pub(crate) fn tell(&self, outcome: Outcome) {
        self.state().outcome.get_or_insert(outcome);
        self.changed.notify_all();
    }

    /// Waits for the outcome.
    pub(crate) fn wait(&self) -> Outcome {
        let mut state = self.state();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
    }
    // ANCHOR_END: seat

    /// Returns the outcome if there is one.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome.clone()
    }

    /// A second thread begins to read.
    pub(crate) fn reading_begins(&self) {
        self.state().is_read = true;
    }

    /// There is no second thread after all.
    pub(crate) fn reading_fails(&self) {
        self.state().is_read = false;
    }

    /// The second thread has read `length` bytes. Returns false if it has to end.
    pub(crate) fn discarded(&self, length: usize) -> bool {
        let mut state = self.state();
        state.to_discard = state.to_discard.saturating_sub(length);
        state.to_discard > 0
    }

    /// The second thread ends. If the client still waits, the connection closes for this reason.
    pub(crate) fn reading_ends(&self, reason: CloseReason) {
        let mut state = self.state();
        state.is_read = false;
        state.outcome.get_or_insert(Outcome::Closed(reason));
        drop(state);
        self.changed.notify_all();
    }

    /// Lets the second thread discard at most `bytes_max` bytes more, and waits until it ends, for up to `at_most`.
    pub(crate) fn wait_until_read(&self, bytes_max: usize, at_most: Duration) {
        let deadline = net::now().saturating_add(at_most);
        let mut state = self.state();
        state.to_discard = bytes_max;
        while state.is_read {
            let left = deadline.saturating_sub(net::now());
            if left.is_zero() {
                return;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the second thread discard nothing more.
    pub(crate) fn stop_reading(&self) {
        self.state().to_discard = 0;
    }

    /// The state is consistent after every statement, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
