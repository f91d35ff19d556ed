//! Starting and stopping: hooks that run when the reactor starts (R3), and shutdown triggers (R5, R6).

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use super::{Core, Reactor};
use crate::deferred::Deferred;
use crate::log;

/// When a shutdown trigger runs. The phases follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// While the reactor still serves everything. The next phase waits for the Deferreds that these triggers return.
    Before,
    /// After the Deferreds of the first phase have fired. Then open connections are aborted, and those being made fail.
    During,
    /// Last. Nothing is called back after these.
    After,
}

/// The reactor is already running (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reactor is already running")]
pub struct AlreadyRunning;

/// The reactor is not running, or is already stopping (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reactor is not running")]
pub struct NotRunning;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Idle,
    Running,
    /// `stop` was called in this turn.
    Stopping,
    /// The Deferreds of the first phase have not all fired.
    Waiting,
}

type Hook = Box<dyn FnOnce()>;
type Trigger = Box<dyn FnOnce() -> Deferred<()>>;

#[derive(Default)]
pub(super) struct Lifecycle {
    state: Cell<State>,
    hooks: RefCell<Vec<Hook>>,
    triggers: RefCell<Vec<(Phase, Trigger)>>,
    awaited: Rc<Cell<usize>>,
}

impl Reactor {
    /// Runs `hook` at once if the reactor is running, else as soon as it starts (R3).
    ///
    /// ```
    /// use callbacks::{NotRunning, Reactor};
    ///
    /// let reactor = Reactor::open()?;
    /// assert_eq!(reactor.stop(), Err(NotRunning));
    /// let context = reactor.clone();
    /// reactor.call_when_running(move || context.stop().unwrap());
    /// reactor.run().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn call_when_running(&self, hook: impl FnOnce() + 'static) {
        let lifecycle = &self.core().lifecycle;
        if self.core().is_closed() {
            return;
        }
        if lifecycle.state.get() == State::Idle {
            lifecycle.hooks.borrow_mut().push(Box::new(hook));
        } else {
            log::contained(hook);
        }
    }

    /// Stops the reactor. Calls due in this turn still run, then the shutdown triggers, then `run` returns (R5).
    ///
    /// # Errors
    /// Fails if the reactor is not running or is already stopping (R6).
    pub fn stop(&self) -> Result<(), NotRunning> {
        let state = &self.core().lifecycle.state;
        match state.get() {
            State::Running => {
                state.set(State::Stopping);
                Ok(())
            }
            _ => Err(NotRunning),
        }
    }

    /// Runs `trigger` in `phase` of the next stop (R5). The reactor keeps running until the Deferreds of the first phase
    /// have fired; it does not wait for those of the others.
    ///
    /// ```
    /// use callbacks::{Deferred, Phase, Reactor};
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// let (reactor, words) = (Reactor::open()?, Rc::new(RefCell::new(Vec::new())));
    /// for (phase, word) in [(Phase::After, "bye"), (Phase::Before, "closing")] {
    ///     let words = Rc::clone(&words);
    ///     reactor.add_system_event_trigger(phase, move || {
    ///         words.borrow_mut().push(word);
    ///         Deferred::succeed(())
    ///     });
    /// }
    /// let context = reactor.clone();
    /// reactor.call_when_running(move || context.stop().unwrap());
    /// reactor.run().unwrap();
    /// assert_eq!(*words.borrow(), ["closing", "bye"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add_system_event_trigger(
        &self,
        phase: Phase,
        trigger: impl FnOnce() -> Deferred<()> + 'static,
    ) {
        if !self.core().is_closed() {
            let mut triggers = self.core().lifecycle.triggers.borrow_mut();
            triggers.push((phase, Box::new(trigger)));
        }
    }

    /// Returns whether the reactor is running.
    pub fn is_running(&self) -> bool {
        self.core().is_running()
    }
}

impl Lifecycle {
    /// Returns whether the next turn must not wait.
    pub(super) fn is_stopping(&self) -> bool {
        match self.state.get() {
            State::Stopping => true,
            State::Waiting => self.awaited.get() == 0,
            State::Idle | State::Running => false,
        }
    }

    /// Called at the end of a turn. If the reactor is stopping, runs the first phase; returns whether its Deferreds have
    /// fired, so that the others follow.
    pub(super) fn turn(&self) -> bool {
        if self.state.get() == State::Stopping {
            self.state.set(State::Waiting);
            self.run_phase(Phase::Before);
        }
        self.state.get() == State::Waiting && self.awaited.get() == 0
    }

    /// Ends the run.
    pub(super) fn end(&self) {
        self.state.set(State::Idle);
    }

    pub(super) fn clear(&self) {
        drop(self.hooks.take());
        drop(self.triggers.take());
    }

    pub(super) fn run_phase(&self, phase: Phase) {
        let all = self.triggers.take();
        let (now, later) = all.into_iter().partition(|(of, _)| *of == phase);
        *self.triggers.borrow_mut() = later;
        let now: Vec<(Phase, Trigger)> = now;
        for (_, trigger) in now {
            let ended = log::contained(trigger);
            if let (Some(ended), Phase::Before) = (ended, phase) {
                self.wait_for(ended);
            }
        }
    }

    fn wait_for(&self, ended: Deferred<()>) {
        self.awaited.set(self.awaited.get() + 1);
        let awaited = Rc::clone(&self.awaited);
        // With a value or a failure: a failure is reported when the Deferred is dropped, and does not hold up the stop.
        drop(ended.add_both(move |result| {
            awaited.set(awaited.get() - 1);
            result
        }));
    }
}

impl Core {
    /// Starts the run and calls the hooks; returns false if the reactor was running.
    pub(super) fn start(&self) -> bool {
        if self.lifecycle.state.get() != State::Idle {
            return false;
        }
        self.lifecycle.state.set(State::Running);
        self.update_time();
        let hooks = mem::take(&mut *self.lifecycle.hooks.borrow_mut());
        for hook in hooks {
            log::contained(hook);
        }
        true
    }

    pub(super) fn is_running(&self) -> bool {
        self.lifecycle.state.get() != State::Idle
    }
}
