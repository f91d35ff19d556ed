//! Pids: how a process is reached. A typed [`Pid`] sends messages; a [`ProcessRef`] knows the process but not its
//! language, which is enough to monitor it, to link to it, and to ask it to exit.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::name::Name;
use super::record::Record;
use super::time;
use crate::monitor::{Down, Exit, ProcessId, Reason};

/// What goes into a mailbox: a sender's message, or a signal of the runtime's.
pub(crate) enum Mail<M> {
    Message(M),
    Signal(Signal),
}

/// What the runtime tells a process. Signals are not held back by a full mailbox: there are as many as there are
/// links and monitors.
pub(crate) enum Signal {
    Exit(Exit),
    Down(Down),
    Kill,
}

/// The way into a process, for the runtime.
pub(crate) trait Entry: Send + Sync {
    fn record(&self) -> &Record;
    /// Signals are lost on the dead.
    fn signal(&self, signal: Signal);
}

/// The way into a process, for those who speak its language.
pub(crate) trait Door<M>: Entry {
    fn put(&self, message: M) -> Result<(), M>;
}

/// A process that takes messages of type `M`. Cheap to clone; it does not keep the process alive.
pub struct Pid<M>(pub(crate) Arc<dyn Door<M>>);

impl<M> Clone for Pid<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: 'static> Pid<M> {
    /// Puts `message` into the mailbox if there is room now.
    ///
    /// # Errors
    /// The mailbox is full, or the process has ended; the message comes back.
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        match self.0.record().room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.0.put(message).map_err(SendError::NoProcess)
            }
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(SendError::Full(message)),
            Err(tokio::sync::TryAcquireError::Closed) => Err(SendError::NoProcess(message)),
        }
    }

    /// Puts `message` into the mailbox, after waiting for room if it is full (O1). Senders wait in order.
    ///
    /// # Errors
    /// The process has ended; the message comes back.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        match self.0.record().room.acquire().await {
            Ok(permit) => {
                permit.forget();
                self.0.put(message).map_err(SendError::NoProcess)
            }
            Err(_) => Err(SendError::NoProcess(message)),
        }
    }

    /// Sends the message that `ask` makes and waits for the reply (O7), for at most `timeout` in all.
    ///
    /// # Errors
    /// The process has ended, or ended without replying, at once; or no reply came in time.
    pub(crate) async fn call<R: 'static>(
        &self,
        ask: impl FnOnce(Reply<R>) -> M,
        timeout: Duration,
    ) -> Result<R, CallError> {
        let (reply, answer) = oneshot::channel();
        let message = ask(Reply(reply));
        let conversation = pin!(async {
            self.send(message).await.map_err(|_| CallError::NoProcess)?;
            answer.await.map_err(|_| CallError::NoProcess)
        });
        match time::timeout(timeout, conversation).await {
            Some(replied) => replied,
            None => Err(CallError::Timeout),
        }
    }

    /// The process, without its language.
    pub fn process(&self) -> ProcessRef {
        ProcessRef(Arc::clone(&self.0) as Arc<dyn Entry>)
    }
}

impl<M> fmt::Debug for Pid<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0.record();
        write!(out, "Pid<{} {}>", record.id.0, record.name)
    }
}

/// A process, whatever it understands.
#[derive(Clone)]
pub struct ProcessRef(pub(crate) Arc<dyn Entry>);

impl ProcessRef {
    /// Its number.
    pub fn id(&self) -> ProcessId {
        self.0.record().id
    }

    /// Its name.
    pub fn name(&self) -> Name {
        self.0.record().name
    }

    /// Messages in its mailbox, and how many that can hold.
    pub fn mailbox(&self) -> (usize, usize) {
        (self.0.record().queued(), self.0.record().capacity)
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.0.record().ended().is_none()
    }

    /// Asks the process to exit for `reason`. One that traps exits receives it and decides; any other exits
    /// before its next message, except for `Normal`, which it does not hear.
    pub fn exit(&self, reason: Reason) {
        self.signal(Signal::Exit(Exit { from: None, reason }));
    }

    /// Ends the process between two messages, whether it traps exits or not.
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }

    pub(crate) fn record(&self) -> &Record {
        self.0.record()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }
}

impl fmt::Debug for ProcessRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ProcessRef<{} {}>", self.id().0, self.name())
    }
}

/// Where the answer to a call goes: what a message carries that wants one. Dropped unused, the caller learns at
/// once that no answer will come.
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Answers. A caller that has given up does not mind.
    pub fn send(self, answer: R) {
        let _ = self.0.send(answer);
    }
}

/// Why a message did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<M> {
    /// The mailbox is full.
    Full(M),
    /// There is no such process any more.
    NoProcess(M),
}

/// Why a call has no answer (O7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// None came in time.
    Timeout,
    /// The process had ended, or ended without answering.
    NoProcess,
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::NoProcess => "no such process",
        })
    }
}

impl std::error::Error for CallError {}
