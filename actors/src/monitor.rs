//! Exit reasons, and the two notices of an exit: the `Down` of a monitor and the `Exit` of a link (O2–O4).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Why a process ended (O4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was done.
    Normal,
    /// It was asked to stop.
    Shutdown,
    /// It was asked to stop, for a reason of the program's own: `{shutdown, Term}`.
    ShutdownWith(Term),
    /// It was killed between two handlers.
    Killed,
    /// It panicked, with this message.
    Crash(Arc<str>),
    /// A reason of the program's own: `exit(Term)`. It is abnormal, as in Erlang, although it may be a result.
    Other(Term),
    /// It had ended before it was linked or monitored, or it never started.
    NoProcess,
}

impl Reason {
    /// Returns the reason for a crash with `message`.
    pub fn crash(message: impl Into<Arc<str>>) -> Self {
        Self::Crash(message.into())
    }

    /// Returns a shutdown with `value`, which says why: `{shutdown, Value}`.
    ///
    /// ```
    /// # use actors::Reason;
    /// let reason = Reason::shutdown_with("upgrade");
    /// assert!(reason.is_shutdown() && !reason.is_abnormal());
    /// assert_eq!(reason.to_string(), "shutdown: \"upgrade\"");
    /// ```
    pub fn shutdown_with(value: impl Value) -> Self {
        Self::ShutdownWith(Term(Arc::new(value)))
    }

    /// Returns a reason of the program's own, any value: `exit(Value)`.
    ///
    /// ```
    /// # use actors::Reason;
    /// let reason = Reason::other(String::from("Stars fall."));
    /// assert!(reason.is_abnormal());
    /// assert_eq!(reason.value(), Some(&String::from("Stars fall.")));
    /// assert_eq!(reason.value::<u8>(), None);
    /// ```
    pub fn other(value: impl Value) -> Self {
        Self::Other(Term(Arc::new(value)))
    }

    /// Returns the value of [`Reason::shutdown_with`] or [`Reason::other`], if it is a `T`.
    pub fn value<T: Value>(&self) -> Option<&T> {
        match self {
            Self::ShutdownWith(term) | Self::Other(term) => term.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Returns whether it is a request to stop, with a value or without.
    pub fn is_shutdown(&self) -> bool {
        matches!(self, Self::Shutdown | Self::ShutdownWith(_))
    }

    /// Returns whether a transient child is restarted after it. (A link propagates every exit but `Normal`.)
    pub fn is_abnormal(&self) -> bool {
        match self {
            Self::Normal | Self::Shutdown | Self::ShutdownWith(_) => false,
            Self::Killed | Self::Crash(_) | Self::Other(_) | Self::NoProcess => true,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => out.write_str("normal"),
            Self::Shutdown => out.write_str("shutdown"),
            Self::ShutdownWith(term) => write!(out, "shutdown: {term:?}"),
            Self::Killed => out.write_str("killed"),
            Self::Crash(message) => write!(out, "crash: {message}"),
            Self::Other(term) => write!(out, "{term:?}"),
            Self::NoProcess => out.write_str("no process"),
        }
    }
}

/// A value that a [`Reason`] may have. Any type with these traits is one.
pub trait Value: Any + fmt::Debug + Eq + Send + Sync {}

impl<T: Any + fmt::Debug + Eq + Send + Sync> Value for T {}

/// A value of the program's own in a [`Reason`], shared by all processes that receive it.
#[derive(Clone)]
pub struct Term(Arc<dyn AnyValue>);

impl Term {
    fn as_any(&self) -> &dyn Any {
        &*self.0
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(other.as_any())
    }
}

impl Eq for Term {}

impl fmt::Debug for Term {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A [`Value`], whatever its type.
trait AnyValue: Any + fmt::Debug + Send + Sync {
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Value> AnyValue for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

/// A process's serial number, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub(crate) u64);

/// A monitor's serial number, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub(crate) u64);

/// The serial number of a process's own timer, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub(crate) u64);

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

/// The notice of an exit to a process that traps exits (O3): a linked process has ended, or this one is asked to exit. As in
/// Erlang's `{'EXIT', From, Reason}`, the two look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The linked process that ended, or the process that called [`Me::exit`](crate::Me::exit); `None` after
    /// [`ProcessRef::exit`](crate::ProcessRef::exit), which is called from outside the processes.
    pub from: Option<ProcessId>,
    /// The reason.
    pub reason: Reason,
}

impl Exit {
    /// Returns whether it ends the process of `receiver`, unless that traps exits. A normal exit ends only the process that
    /// sends it to itself: `exit(self(), normal)` (O4).
    pub(crate) fn is_fatal(&self, receiver: ProcessId) -> bool {
        self.reason != Reason::Normal || self.from == Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every mailbox keeps room for one, and every handler returns one.
    #[test]
    fn o4_a_reason_takes_three_words() {
        assert_eq!(size_of::<Reason>(), 3 * size_of::<usize>());
        assert_eq!(size_of::<crate::Next>(), size_of::<Reason>());
    }
}
