//! The children of a supervisor: their specs and their state.

use std::fmt;
use std::io;
use std::time::Duration;

use poetry::panics::contain;

use super::Supervisor;
use crate::monitor::{ProcessId, Reason};
use crate::process::{Me, Name, ProcessRef};
use crate::tree::{ChildInfo, Restarted, WhichChildren};

/// The serial number of a child, unique in its supervisor.
pub(super) type Key = u64;

/// The exits after which a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// After any exit.
    Permanent,
    /// After an abnormal exit: a kill or a crash.
    Transient,
    /// Never; the child is removed.
    Temporary,
}

impl Restart {
    pub(super) fn restarts_after(self, reason: &Reason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It is asked to exit, and killed if that takes longer than this.
    After(Duration),
    /// It is killed at once.
    Kill,
    /// It is asked to exit, and the supervisor waits without a limit. For children that are supervisors: their own children
    /// bound the time.
    Infinity,
}

/// The specification of a child.
///
/// ```erlang
/// #{id => acceptor, start => {acceptor, start_link, []}, restart => permanent, shutdown => 5000}
/// ```
pub struct Spec {
    /// The child's name.
    pub name: Name,
    /// The exits after which it is restarted.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Starts it, linked to the supervisor that calls this. Called again for every restart.
    pub start: Start,
}

/// The function that starts a child.
pub type Start = Box<dyn FnMut(&mut Me<'_, Supervisor>) -> io::Result<Started> + Send>;

/// A started child.
pub struct Started {
    /// Its process.
    pub process: ProcessRef,
    /// How to ask it for its own children, if it is a supervisor.
    pub which_children: Option<WhichChildren>,
}

impl From<ProcessRef> for Started {
    fn from(process: ProcessRef) -> Self {
        Self {
            process,
            which_children: None,
        }
    }
}

/// A child and its state.
pub(super) struct Child {
    pub(super) key: Key,
    pub(super) spec: Spec,
    pub(super) process: Option<ProcessRef>,
    pub(super) restarts: u64,
    /// When it was last restarted, and what led to that.
    pub(super) restarted: Option<(Duration, String)>,
    /// Whether its last start failed.
    pub(super) start_failed: bool,
    which_children: Option<WhichChildren>,
    killed: bool,
    /// The number of its processes that could not be stopped.
    abandoned: u64,
}

impl Child {
    pub(super) fn new(key: Key, spec: Spec) -> Self {
        Self {
            key,
            spec,
            process: None,
            restarts: 0,
            restarted: None,
            start_failed: false,
            which_children: None,
            killed: false,
            abandoned: 0,
        }
    }

    /// Starts the child; returns whether that succeeded.
    pub(super) fn start(&mut self, me: &mut Me<'_, Supervisor>) -> bool {
        let started = contain(|| (self.spec.start)(me));
        self.killed = false;
        let (process, which_children) = match started {
            Ok(Ok(started)) => (Some(started.process), started.which_children),
            Ok(Err(_)) => (None, None),
            // The start failed; the supervisor catches the panic, as OTP's does.
            Err(message) => {
                me.node().crashed(self.spec.name, &message);
                (None, None)
            }
        };
        self.start_failed = process.is_none();
        (self.process, self.which_children) = (process, which_children);
        !self.start_failed
    }

    /// Returns whether `process` is the child's.
    pub(super) fn is(&self, process: Option<ProcessId>) -> bool {
        self.process.as_ref().map(ProcessRef::id) == process && process.is_some()
    }

    /// Kills it; returns `false` if that has been done before.
    pub(super) fn kill(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.killed, true);
        if first && self.spec.shutdown != Shutdown::Kill {
            self.process.iter().for_each(ProcessRef::kill);
            return true;
        }
        false
    }

    /// Returns the child as it is drawn at `now`.
    pub(super) fn info(&self, now: Duration) -> ChildInfo {
        let plural = if self.restarts == 1 { "" } else { "s" };
        let mut notes = vec![format!("{} restart{plural}", self.restarts)];
        if self.abandoned > 0 {
            notes.push(format!("{} could not be stopped", self.abandoned));
        }
        let restarted = self.restarted.as_ref().map(|(at, cause)| Restarted {
            ago: now.saturating_sub(*at),
            cause: cause.clone(),
        });
        ChildInfo {
            name: self.spec.name,
            process: self.process.clone(),
            notes: notes.join(", "),
            restarted,
            which_children: self.which_children.clone(),
        }
    }

    /// Gives up on its process, which is in one handler for so long that even a kill does not take effect.
    pub(super) fn abandon(&mut self) -> Option<ProcessRef> {
        self.abandoned += 1;
        self.process.take()
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Spec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .finish_non_exhaustive()
    }
}
