//! Cancelling a fetch from outside, the same way in every model (S14).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The whole fetch.
    All,
    /// The request at this index.
    Task(usize),
}

/// A handle that cancels a fetch, or single requests of it (its tasks). Clones are the same handle: pass one to a client's
/// fetch and keep another, with which any thread can cancel at any time.
///
/// A cancel is permanent, so use a new handle for the next fetch. Cancelling a second time does nothing, nor does
/// cancelling a request that has ended.
///
/// The models subscribe to it:
///
/// ```
/// use poetry::cancel::{Cancel, Target};
/// use std::sync::mpsc;
///
/// let cancel = Cancel::new();
/// let (sender, cancelled) = mpsc::channel();
/// let _subscription = cancel.subscribe(move |target| sender.send(target).unwrap());
/// cancel.task(2);
/// cancel.task(2);
/// cancel.all();
/// assert_eq!(cancelled.try_iter().collect::<Vec<_>>(), [Target::Task(2), Target::All]);
/// assert!(cancel.is_cancelled(5) && cancel.is_all());
/// ```
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

type Listener = Arc<dyn Fn(Target) + Send + Sync>;

#[derive(Default)]
struct State {
    all: bool,
    tasks: BTreeSet<usize>,
    next: u64,
    listeners: Vec<(u64, Listener)>,
}

impl Cancel {
    /// Creates a handle that has cancelled nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every request, including those that have not begun.
    pub fn all(&self) {
        self.fire(Target::All);
    }

    /// Cancels the request at `index`, counted from 0, and no other.
    pub fn task(&self, index: usize) {
        self.fire(Target::Task(index));
    }

    /// Returns whether the request at `index` has been cancelled, alone or with all.
    pub fn is_cancelled(&self, index: usize) -> bool {
        let state = self.shared.lock();
        state.all || state.tasks.contains(&index)
    }

    /// Returns whether all requests have been cancelled together.
    pub fn is_all(&self) -> bool {
        self.shared.lock().all
    }

    /// Calls `listener` for every cancel: for past ones now, in this thread; for later ones in the thread that cancels. A
    /// listener must not block. It is not called after the returned value has been dropped, except by a cancel that is
    /// under way at that moment.
    pub fn subscribe(&self, listener: impl Fn(Target) + Send + Sync + 'static) -> Subscription {
        let listener: Listener = Arc::new(listener);
        let mut state = self.shared.lock();
        let id = state.next;
        state.next += 1;
        state.listeners.push((id, Arc::clone(&listener)));
        let mut past: Vec<Target> = state.tasks.iter().map(|&task| Target::Task(task)).collect();
        past.extend(state.all.then_some(Target::All));
        drop(state);
        past.into_iter().for_each(|target| listener(target));
        Subscription {
            shared: Arc::clone(&self.shared),
            id,
        }
    }

    fn fire(&self, target: Target) {
        let mut state = self.shared.lock();
        let first = match target {
            Target::All => !std::mem::replace(&mut state.all, true),
            Target::Task(task) => !state.all && state.tasks.insert(task),
        };
        if first {
            // Called without the lock, so that a listener may use this handle.
            let listeners = state.listeners.clone();
            drop(state);
            listeners.iter().for_each(|(_, listener)| listener(target));
        }
    }
}

impl Shared {
    /// Every statement leaves the state consistent, so a poisoned lock can still be used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        out.debug_struct("Cancel")
            .field("all", &state.all)
            .field("tasks", &state.tasks)
            .finish_non_exhaustive()
    }
}

/// Keeps a listener subscribed until it is dropped.
#[must_use = "dropping it unsubscribes the listener"]
pub struct Subscription {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let removed = state
            .listeners
            .iter()
            .position(|&(id, _)| id == self.id)
            .map(|at| state.listeners.remove(at));
        // Dropped without the lock: the listener may own values whose destructors use this handle.
        drop(state);
        drop(removed);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subscription")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn s14_a_late_subscriber_is_called_at_once() {
        let cancel = Cancel::new();
        cancel.task(1);
        cancel.all();
        let (sender, cancelled) = mpsc::channel();
        let _subscription = cancel.subscribe(move |target| sender.send(target).unwrap());
        assert_eq!(
            cancelled.try_iter().collect::<Vec<_>>(),
            [Target::Task(1), Target::All]
        );
    }

    #[test]
    fn a_dropped_subscription_is_not_called() {
        let cancel = Cancel::new();
        let (sender, cancelled) = mpsc::channel();
        drop(cancel.subscribe(move |target| sender.send(target).unwrap()));
        cancel.all();
        assert_eq!(cancelled.try_iter().count(), 0);
    }

    #[test]
    fn cancelling_a_task_leaves_the_others() {
        let cancel = Cancel::new();
        cancel.task(3);
        assert!(cancel.is_cancelled(3) && !cancel.is_cancelled(4));
    }
}
