//! How processes end, and how others learn of it: exit reasons, and the two notices of an exit, the `Down` of a
//! monitor and the `Exit` of a link (O2–O4). Who delivers them is `process`'s affair.

use std::fmt;
use std::sync::Arc;

/// Why a process ended (O4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It had nothing more to do.
    Normal,
    /// It was told to stop, and did.
    Shutdown,
    /// It was stopped between two messages without being asked.
    Killed,
    /// It panicked, with this message.
    Crash(Arc<str>),
    /// There was no such process when it was asked about.
    NoProcess,
}

impl Reason {
    /// A crash with a message: what a panic becomes.
    pub fn crash(message: impl Into<Arc<str>>) -> Self {
        Self::Crash(message.into())
    }

    /// Whether a transient child is restarted after it. (A link carries on every exit but `Normal`.)
    pub fn is_abnormal(&self) -> bool {
        match self {
            Self::Normal | Self::Shutdown => false,
            Self::Killed | Self::Crash(_) | Self::NoProcess => true,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => out.write_str("normal"),
            Self::Shutdown => out.write_str("shutdown"),
            Self::Killed => out.write_str("killed"),
            Self::Crash(message) => write!(out, "crash: {message}"),
            Self::NoProcess => out.write_str("no process"),
        }
    }
}

/// Names one process for ever: a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub(crate) u64);

/// Names one monitor for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub(crate) u64);

/// What a monitor delivers, exactly once, after what the process held is released (O2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// The monitor that was set.
    pub monitor: MonitorId,
    /// The process it was set on.
    pub process: ProcessId,
    /// Why that ended.
    pub reason: Reason,
}

/// What a link, or [`ProcessRef::exit`](crate::process::ProcessRef::exit), delivers to a process that traps exits (O3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The linked process that ended, or `None` if somebody asked this process to exit.
    pub from: Option<ProcessId>,
    /// Why.
    pub reason: Reason,
}
