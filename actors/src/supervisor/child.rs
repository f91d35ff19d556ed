//! The children of a supervisor and their state.

use std::fmt;
use std::time::Duration;

use poetry::panics::contain;

use super::Supervisor;
use super::spec::Spec;
use crate::monitor::{ProcessId, Reason};
use crate::process::{Me, Name, ProcessRef};
use crate::tree::{ChildInfo, Restarted, WhichChildren};

/// The serial number of a child, unique in its supervisor.
pub(super) type Key = u64;

/// Why a supervisor ends that could not start its children, as the value of a [shutdown](Reason::shutdown_with):
/// `{shutdown, {failed_to_start_child, Child, Reason}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedToStart {
    /// The child's name.
    pub child: Name,
    /// Why it did not start.
    pub reason: Reason,
}

/// Why a supervisor cannot do what it is asked to do with a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildError {
    /// It has no child of this name.
    NotFound,
    /// The child runs. It has to be terminated first.
    Running,
    /// The child did not start, and will be started again.
    Restarting,
    /// The child did not start, for this reason.
    NotStarted(Reason),
}

impl fmt::Display for ChildError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => out.write_str("the supervisor has no child of this name"),
            Self::Running => out.write_str("the child runs; terminate it first"),
            Self::Restarting => out.write_str("the child is being restarted; terminate it first"),
            Self::NotStarted(reason) => write!(out, "the child did not start: {reason}"),
        }
    }
}

impl std::error::Error for ChildError {}

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
            abandoned: 0,
        }
    }

    /// Calls the child's start function; returns the process, which need not have started yet.
    pub(super) fn start(&mut self, me: &mut Me<'_, Supervisor>) -> Result<ProcessRef, Reason> {
        (self.process, self.which_children) = (None, None);
        self.start_failed = true;
        let started = contain(|| (self.spec.start)(me));
        // A panic fails the start; the supervisor catches it, as OTP's does.
        let started = started.map_err(|message| {
            me.node().crashed(self.spec.name, &message);
            Reason::crash(message)
        })?;
        let started = started.map_err(|error| Reason::crash(error.to_string()))?;
        self.which_children = started.which_children;
        Ok(self.process.insert(started.process).clone())
    }

    /// Its process has started or has not. A process that ends normally in its start has nothing to do, and is not started
    /// again: `ignore`.
    pub(super) fn has_started(&mut self, outcome: Result<(), Reason>) -> Result<(), Reason> {
        if outcome.is_err() {
            let process = self.process.take();
            self.abandoned += u64::from(process.is_some_and(|process| process.is_alive()));
        }
        match outcome {
            Ok(()) | Err(Reason::Normal) => {
                self.start_failed = false;
                Ok(())
            }
            failed => failed,
        }
    }

    /// Returns whether it runs or will be started again.
    pub(super) fn is_running(&self) -> bool {
        self.process.is_some() || self.start_failed
    }

    /// Returns whether `process` is the child's.
    pub(super) fn is(&self, process: Option<ProcessId>) -> bool {
        self.process.as_ref().map(ProcessRef::id) == process && process.is_some()
    }

    /// Its process has ended, or stays in one handler for so long that even a kill does not take effect, and is abandoned.
    pub(super) fn was_stopped(&mut self, has_ended: bool, me: &Me<'_, Supervisor>) {
        if let Some(process) = self.process.take()
            && !has_ended
        {
            self.abandoned += 1;
            me.unlink(&process);
        }
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
}
