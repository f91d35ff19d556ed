//! A supervisor's children: what it is told of each, and what it knows.

use std::fmt;
use std::io;
use std::time::Duration;

use poetry::panics::contain;

use super::Supervisor;
use crate::monitor::{ProcessId, Reason};
use crate::process::{Me, Name, ProcessRef};
use crate::tree::{ChildInfo, WhichChildren};

/// Names one child of a supervisor for ever.
pub(super) type Key = u64;

/// Which exits a child is restarted after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Any.
    Permanent,
    /// Abnormal ones: it was killed or crashed.
    Transient,
    /// None; it is forgotten.
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
    /// It is asked to, and killed if that takes longer.
    After(Duration),
    /// It is killed.
    Kill,
    /// It is asked to, and waited for: for supervisors, whose own children bound the time.
    Infinity,
}

/// What a supervisor is told of a child.
///
/// ```erlang
/// #{id => acceptor, start => {acceptor, start_link, []}, restart => permanent, shutdown => 5000}
/// ```
pub struct Spec {
    /// What the child is called.
    pub name: Name,
    /// Which exits it is restarted after.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Starts it, again and again, linked to the supervisor that calls this.
    pub start: Start,
}

/// Starts a child.
pub type Start = Box<dyn FnMut(&mut Me<'_, Supervisor>) -> io::Result<Started> + Send>;

/// A child that was started.
pub struct Started {
    /// Its process.
    pub process: ProcessRef,
    /// How to ask it for its own children, if it has any.
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

/// A child, and what has become of it.
pub(super) struct Child {
    pub(super) key: Key,
    pub(super) spec: Spec,
    pub(super) process: Option<ProcessRef>,
    pub(super) restarts: u64,
    /// It was to start, and did not.
    pub(super) did_not_start: bool,
    which_children: Option<WhichChildren>,
    killed: bool,
    left_behind: u64,
}

impl Child {
    pub(super) fn new(key: Key, spec: Spec) -> Self {
        Self {
            key,
            spec,
            process: None,
            restarts: 0,
            did_not_start: false,
            which_children: None,
            killed: false,
            left_behind: 0,
        }
    }

    pub(super) fn start(&mut self, me: &mut Me<'_, Supervisor>) -> bool {
        let started = contain(|| (self.spec.start)(me));
        self.killed = false;
        let (process, which_children) = match started {
            Ok(Ok(started)) => (Some(started.process), started.which_children),
            Ok(Err(_)) => (None, None),
            // It did not start, and its supervisor does not go with it: OTP's catches this too.
            Err(message) => {
                me.node().crashed(self.spec.name, &message);
                (None, None)
            }
        };
        self.did_not_start = process.is_none();
        (self.process, self.which_children) = (process, which_children);
        !self.did_not_start
    }

    pub(super) fn is(&self, process: Option<ProcessId>) -> bool {
        self.process.as_ref().map(ProcessRef::id) == process && process.is_some()
    }

    /// Kills it, if that has not been done.
    pub(super) fn kill(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.killed, true);
        if first && self.spec.shutdown != Shutdown::Kill {
            self.process.iter().for_each(ProcessRef::kill);
            return true;
        }
        false
    }

    /// It handles something for so long that not even a kill reaches it.
    pub(super) fn leave_behind(&mut self) -> Option<ProcessRef> {
        self.left_behind += 1;
        self.process.take()
    }
}

impl From<&Child> for ChildInfo {
    fn from(child: &Child) -> Self {
        let mut notes = vec![format!("{} restarts", child.restarts)];
        if child.left_behind > 0 {
            notes.push(format!("{} could not be stopped", child.left_behind));
        }
        Self {
            name: child.spec.name,
            process: child.process.clone(),
            notes: notes.join(", "),
            which_children: child.which_children.clone(),
        }
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
