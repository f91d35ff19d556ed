//! Pids: typed references that send messages to a process.

use std::fmt;
use std::sync::Arc;

use tokio::sync::TryAcquireError;

use super::process_ref::{AnyMailbox, ProcessRef, Record, Signal};

/// What a mailbox holds: a message, or a signal of the runtime.
pub(super) enum Mail<M> {
    Message(M),
    /// A message that was received before and postponed. It takes no room in the mailbox.
    Again(M),
    Signal(Signal),
}

/// A mailbox for messages of type `M`.
pub(crate) trait Mailbox<M>: AnyMailbox {
    /// Puts `message` in. The caller has acquired a permit for it from the record.
    fn put(&self, message: M) -> Result<(), M>;
}

/// A process that takes messages of type `M`. A pid is cheap to clone and does not keep the process alive.
pub struct Pid<M>(pub(super) Arc<dyn Mailbox<M>>);

impl<M> Clone for Pid<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: 'static> Pid<M> {
    /// Puts `message` into the mailbox without waiting.
    ///
    /// # Errors
    /// The mailbox is full or the process has ended. The error returns the message.
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        match self.0.record().room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.0.put(message).map_err(SendError::NoProcess)
            }
            Err(TryAcquireError::NoPermits) => Err(SendError::Full(message)),
            Err(TryAcquireError::Closed) => Err(SendError::NoProcess(message)),
        }
    }

    /// Puts `message` into the mailbox, after waiting for room if it is full (O1). Senders wait in order.
    ///
    /// # Errors
    /// The process has ended. The error returns the message.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        match self.0.record().room.acquire().await {
            Ok(permit) => {
                permit.forget();
                self.0.put(message).map_err(SendError::NoProcess)
            }
            Err(_) => Err(SendError::NoProcess(message)),
        }
    }

    /// Returns a type-erased reference to the process.
    pub fn process(&self) -> ProcessRef {
        ProcessRef(Arc::clone(&self.0) as Arc<dyn AnyMailbox>)
    }
}

impl<M> Pid<M> {
    pub(super) fn record(&self) -> &Record {
        self.0.record()
    }
}

impl<M> fmt::Debug for Pid<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record();
        write!(out, "Pid<{} {}>", record.id.0, record.name)
    }
}

/// Why a message was not sent.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<M> {
    /// There is no room: the mailbox is full, or the process has as many timers or postponed messages as it may have.
    Full(M),
    /// The process has ended.
    NoProcess(M),
}
