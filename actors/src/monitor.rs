//! Exit reasons, and the two notices of an exit: the `Down` of a monitor and the `Exit` of a link (O2–O4).

use std::fmt;
use std::sync::Arc;

/// Why a process ended (O4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was done.
    Normal,
    /// It was asked to stop.
    Shutdown,
    /// It was killed between two handlers.
    Killed,
    /// It panicked, with this message.
    Crash(Arc<str>),
    /// It had ended before it was linked or monitored, or it never started.
    NoProcess,
}

impl Reason {
    /// Returns the reason for a crash with `message`.
    pub fn crash(message: impl Into<Arc<str>>) -> Self {
        Self::Crash(message.into())
    }

    /// Returns whether a transient child is restarted after it. (A link propagates every exit but `Normal`.)
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

/// A process's serial number, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub(crate) u64);

/// A monitor's serial number, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub(crate) u64);

/// The notice of a monitor, delivered exactly once, after the process has released everything it owned (O2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// The monitor.
    pub monitor: MonitorId,
    /// The process that ended.
    pub process: ProcessId,
    /// Why it ended.
    pub reason: Reason,
}

/// The notice of a link, or of [`ProcessRef::exit`](crate::ProcessRef::exit), to a process that traps exits (O3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The linked process that ended, or `None` if this process was asked to exit.
    pub from: Option<ProcessId>,
    /// The reason.
    pub reason: Reason,
}
