//! One way to stop a fetch from outside, whatever runs it (S14).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The whole fetch.
    All,
    /// The request at this index.
    Task(usize),
}

/// A handle that cancels a fetch, or one of its tasks. Clones are the same handle. Each target fires once;
/// cancelling again, or what has ended, does nothing.
///
/// ```
/// use poetry::cancel::{Cancel, Target};
/// use std::sync::mpsc;
///
/// let cancel = Cancel::new();
/// let (sender, heard) = mpsc::channel();
/// let _subscription = cancel.subscribe(move |target| sender.send(target).unwrap());
/// cancel.task(2);
/// cancel.task(2);
/// cancel.all();
/// assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Target::Task(2), Target::All]);
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
    /// A handle that has not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every task, those that have not begun too.
    pub fn all(&self) {
        self.fire(Target::All);
    }

    /// Cancels the request at `index`, counted from 0, and no other.
    pub fn task(&self, index: usize) {
        self.fire(Target::Task(index));
    }

    /// Whether the request at `index` has been cancelled, alone or with all.
    pub fn is_cancelled(&self, index: usize) -> bool {
        let state = self.shared.lock();
        state.all || state.tasks.contains(&index)
    }

    /// Whether every request has been cancelled at once.
    pub fn is_all(&self) -> bool {
        self.shared.lock().all
    }

    /// Calls `listener` for every target: at once, in this thread, for what has been cancelled already; later in
    /// the thread that cancels. A listener must not block: it wakes whoever does the work. It is not called once
    /// the returned value has been dropped, except by a cancel under way at that moment.
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
            // Called without the lock, so that a listener may ask this handle anything.
            let listeners = state.listeners.clone();
            drop(state);
            listeners.iter().for_each(|(_, listener)| listener(target));
        }
    }
}

impl Shared {
    /// The state is whole after every statement, so a lock poisoned elsewhere is no harm.
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

/// Keeps a listener subscribed; dropping it ends that.
#[must_use = "the listener is called only while this lives"]
pub struct Subscription {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let gone = state
            .listeners
            .iter()
            .position(|&(id, _)| id == self.id)
            .map(|at| state.listeners.remove(at));
        // A listener may own things that call back here when they are dropped.
        drop(state);
        drop(gone);
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
    fn s14_who_comes_late_hears_at_once() {
        let cancel = Cancel::new();
        cancel.task(1);
        cancel.all();
        let (sender, heard) = mpsc::channel();
        let _subscription = cancel.subscribe(move |target| sender.send(target).unwrap());
        assert_eq!(
            heard.try_iter().collect::<Vec<_>>(),
            [Target::Task(1), Target::All]
        );
    }

    #[test]
    fn who_has_left_hears_nothing() {
        let cancel = Cancel::new();
        let (sender, heard) = mpsc::channel();
        drop(cancel.subscribe(move |target| sender.send(target).unwrap()));
        cancel.all();
        assert_eq!(heard.try_iter().count(), 0);
    }

    #[test]
    fn one_task_is_not_another() {
        let cancel = Cancel::new();
        cancel.task(3);
        assert!(cancel.is_cancelled(3) && !cancel.is_cancelled(4));
    }
}
