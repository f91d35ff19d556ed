//! What the runtime keeps for a process beside its state and its port: how it is reached, when it wants to be woken,
//! what it waits for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task;
use std::time::Duration;

use super::by_id::Monitors;
use super::cell::Inbox;
use super::me::Me;
use super::node::Local;
use super::pid::Mail;
use super::{Next, Process};
use crate::monitor::Reason;
use crate::timers::Key;

/// What the runtime keeps for a process while it lives.
pub(super) struct Core<P: Process> {
    pub(super) inbox: Arc<Inbox<P>>,
    pub(super) local: Rc<Local>,
    pub(super) traps_exits: bool,
    /// Mail handled in this turn.
    pub(super) mail: usize,
    /// The time as it was first asked for in this turn.
    pub(super) now: Option<Duration>,
    /// When the process wants a timeout.
    pub(super) due: Option<Duration>,
    /// The process's entry among the arbiter's deadlines, due no later than `due`.
    pub(super) entry: Option<Key>,
    /// The process exits for this reason once nothing it sent waits any more.
    pub(super) ending: Option<Reason>,
    pub(super) rare: Option<Box<Rare<P>>>,
}

/// What most processes never need.
pub(super) struct Rare<P: Process> {
    pub(super) waits: VecDeque<Wait<P>>,
    /// What arrived while the process waited.
    pub(super) later: VecDeque<Mail<P::Message>>,
    monitors: Monitors,
}

/// Something a process waits for, and what it does then.
pub(super) type Wait<P> = Pin<Box<dyn Future<Output = Option<Resume<P>>>>>;
pub(super) type Resume<P> = Box<dyn FnOnce(&mut P, &mut Me<'_, P>) -> Next>;

impl<P: Process> Core<P> {
    pub(super) fn new(inbox: Arc<Inbox<P>>, local: Rc<Local>) -> Self {
        Self {
            inbox,
            local,
            traps_exits: false,
            mail: 0,
            now: None,
            due: None,
            entry: None,
            ending: None,
            rare: None,
        }
    }

    pub(super) fn wait(&mut self, wait: Wait<P>) {
        self.rare().waits.push_back(wait);
    }

    /// Whether the process receives nothing until something it waits for has come.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| !rare.waits.is_empty())
    }

    pub(super) fn monitors(&mut self) -> &mut Monitors {
        &mut self.rare().monitors
    }

    pub(super) fn rare(&mut self) -> &mut Rare<P> {
        self.rare.get_or_insert_with(|| {
            Box::new(Rare {
                waits: VecDeque::new(),
                later: VecDeque::new(),
                monitors: Monitors::default(),
            })
        })
    }

    /// Sees to it that the process is woken for its deadline. One that moved back keeps its early entry, so that
    /// refreshing a timeout costs nothing.
    #[inline]
    pub(super) fn arm(&mut self, turn: &task::Context<'_>) {
        if let Some(due) = self.due
            && self.entry.is_none_or(|entry| due < entry.0)
        {
            self.disarm();
            self.entry = Some(self.local.timers.insert(due, turn.waker().clone()));
        }
    }

    pub(super) fn disarm(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.local.timers.cancel(entry);
        }
    }
}
