//! A process's control block: what the runtime keeps for a live process besides its state and its port.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task;
use std::time::Duration;

use poetry::limits::REQUESTS_PER_TURN_MAX;

use super::by_id::Monitors;
use super::info::WaitsFor;
use super::local::Local;
use super::pid::{Mail, Pid};
use super::process_ref::ProcessRef;
use super::rounds::Round;
use super::timer::OwnTimers;
use super::watch;
use super::{Next, Process};
use crate::monitor::{Reason, TimerId};
use crate::timers::Key;

/// What the runtime keeps for a live process.
pub(super) struct Control<P: Process> {
    pub(super) pid: Pid<P::Message>,
    pub(super) local: Rc<Local>,
    pub(super) traps_exits: bool,
    /// Requests that may still be answered in this turn (S24).
    pub(super) turn_left: u32,
    /// The round of the next turn, if this one is used up.
    pub(super) next_turn: Option<Round>,
    /// The time at the first call of [`Me::now`](super::Me::now) in this turn.
    pub(super) now: Option<Duration>,
    /// The process's deadline.
    pub(super) due: Option<Duration>,
    /// The process's entry among the arbiter's deadlines; never later than `due`.
    pub(super) entry: Option<Key>,
    pub(super) wait_state: Option<Box<WaitState<P>>>,
}

/// The part of a control block that most processes never need.
pub(super) struct WaitState<P: Process> {
    /// The futures that the process waits for, in order. Until all are ready, the process receives nothing.
    pub(super) waits: VecDeque<Wait<P>>,
    /// Why the process exits as soon as `waits` is empty.
    pub(super) ending: Option<Reason>,
    /// Mail that arrived meanwhile.
    pub(super) later: VecDeque<Mail<P::Message>>,
    pub(super) monitors: Monitors,
    pub(super) timers: OwnTimers<P::Message>,
    /// Messages that were received and will be again ([`Me::postpone`](super::Me::postpone)).
    pub(super) postponed: VecDeque<P::Message>,
    /// Dropped when the process has ended.
    pub(super) ends: Vec<watch::End>,
    /// The process that took over the port ([`Me::hand_over`](super::Me::hand_over)).
    pub(super) heir: Option<ProcessRef>,
}

/// Something a process waits for.
pub(super) struct Wait<P: Process> {
    pub(super) what: WaitsFor,
    pub(super) ready: Ready<P>,
}

/// How a process knows that a wait is over.
pub(super) enum Ready<P: Process> {
    /// There was room for a message in a full mailbox.
    Sent(Pin<Box<dyn Future<Output = ()>>>),
    /// A future has an output, which is handled by a function of the process.
    Then(Pin<Box<dyn Future<Output = Resume<P>>>>),
}

/// Continues a process after a wait.
pub(super) type Resume<P> =
    Box<dyn FnOnce(&mut P, &mut <P as Process>::Port, &mut Control<P>) -> Next>;

impl<P: Process> Control<P> {
    pub(super) fn new(pid: Pid<P::Message>, local: Rc<Local>) -> Self {
        Self {
            pid,
            local,
            traps_exits: false,
            turn_left: REQUESTS_PER_TURN_MAX,
            next_turn: None,
            now: None,
            due: None,
            entry: None,
            wait_state: None,
        }
    }

    /// Returns whether the process waits for something and therefore receives nothing.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.wait_state
            .as_ref()
            .is_some_and(|state| !state.waits.is_empty())
    }

    /// Returns whether mail that arrives now is received later: the process waits for something, or other mail comes
    /// first.
    #[inline]
    pub(super) fn defers(&self) -> bool {
        let waits = |state: &WaitState<P>| !state.waits.is_empty() || !state.later.is_empty();
        self.wait_state.as_deref().is_some_and(waits) || self.is_urgent()
    }

    /// Returns whether a signal is on its way that takes effect before the messages that arrived earlier.
    #[inline]
    pub(super) fn is_urgent(&self) -> bool {
        self.pid.record().urgent.any(self.traps_exits)
    }

    pub(super) fn wait(&mut self, wait: Wait<P>) {
        self.wait_state_mut().waits.push_back(wait);
    }

    pub(super) fn wait_state_mut(&mut self) -> &mut WaitState<P> {
        self.wait_state.get_or_insert_with(|| {
            Box::new(WaitState {
                waits: VecDeque::new(),
                ending: None,
                later: VecDeque::new(),
                monitors: Monitors::default(),
                timers: OwnTimers::default(),
                postponed: VecDeque::new(),
                ends: Vec::new(),
                heir: None,
            })
        })
    }

    pub(super) fn monitors(&mut self) -> &mut Monitors {
        &mut self.wait_state_mut().monitors
    }

    /// Removes one of the process's own timers, unless it is cancelled; returns when it is due and its message.
    pub(super) fn take_timer(&mut self, timer: TimerId) -> Option<(Duration, P::Message)> {
        self.wait_state.as_mut()?.timers.take(timer)
    }

    /// Prepares the exit after a crash: keeps the sends that wait in front of everything else, and drops all other waits
    /// and the mail that arrived meanwhile.
    pub(super) fn keep_sends(&mut self) {
        if let Some(state) = &mut self.wait_state {
            let sends = state
                .waits
                .iter()
                .take_while(|wait| matches!(wait.ready, Ready::Sent(_)));
            let sends = sends.count();
            state.waits.truncate(sends);
            state.later.clear();
        }
    }

    /// Enters the deadline into the arbiter's queue, which wakes the process then. A deadline that was postponed keeps its
    /// earlier entry, so that refreshing a timeout costs nothing.
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

    /// Ends this turn. A process that has answered requests receives its port's next event in the next round (S24). Any
    /// other process gives way only to those that are already queued.
    pub(super) fn give_way(&mut self, turn: &task::Context<'_>) {
        if self.turn_left == REQUESTS_PER_TURN_MAX {
            turn.waker().wake_by_ref();
        } else {
            let next = self.local.rounds.wait_for_next(turn.waker().clone());
            self.next_turn = Some(next);
        }
    }

    /// Returns whether the process may receive from its port: its turn is not used up, or the next round has come.
    #[inline]
    pub(super) fn has_turn(&mut self) -> bool {
        match self.next_turn {
            None => true,
            Some(round) if self.local.rounds.has_come(round) => {
                self.next_turn = None;
                true
            }
            Some(_) => false,
        }
    }
}
