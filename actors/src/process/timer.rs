//! A process's own timers (O8). Each has an entry among the arbiter's deadlines, which signals the process when it is due;
//! the message waits here until then.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use super::MAILBOX_CAPACITY;
use super::local::{Alarm, Local};
use super::pid::SendError;
use super::process_ref::{ProcessRef, Signal, unique};
use crate::monitor::TimerId;

/// The most timers a process may have: as many as a mailbox holds messages. A process with more to wait for keeps a queue of
/// its own and sets a timer for the first.
pub const TIMERS_MAX: usize = MAILBOX_CAPACITY;

/// The timers of one process. There are few, so they are searched one by one.
pub(super) struct OwnTimers<M>(Vec<OwnTimer<M>>);

struct OwnTimer<M> {
    id: TimerId,
    due: Duration,
    message: M,
    /// Removes the entry from the arbiter's deadlines when it is dropped.
    _alarm: Alarm,
}

impl<M> Default for OwnTimers<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> OwnTimers<M> {
    /// Sets a timer of `process`, unless there are too many.
    pub(super) fn set(
        &mut self,
        local: Rc<Local>,
        process: ProcessRef,
        due: Duration,
        message: M,
    ) -> Result<TimerId, SendError<M>> {
        if self.0.len() >= TIMERS_MAX {
            return Err(SendError::Full(message));
        }
        let id = TimerId(unique());
        let alert = Waker::from(Arc::new(Alert { process, timer: id }));
        self.0.push(OwnTimer {
            id,
            due,
            message,
            _alarm: Alarm::set(local, due, alert),
        });
        Ok(id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes a timer; returns when it is due and its message.
    pub(super) fn take(&mut self, id: TimerId) -> Option<(Duration, M)> {
        let at = self.0.iter().position(|timer| timer.id == id)?;
        let OwnTimer { due, message, .. } = self.0.swap_remove(at);
        Some((due, message))
    }
}

/// Signals a process that a timer of its own is due.
struct Alert {
    process: ProcessRef,
    timer: TimerId,
}

impl Wake for Alert {
    fn wake(self: Arc<Self>) {
        self.process.signal(Signal::Timer(self.timer));
    }
}
