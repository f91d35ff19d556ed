//! Calls: a request that carries the address of its reply (O7), between processes and from outside a node.

use std::fmt;
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::local::timeout;
use super::node::Node;
use super::pid::Pid;
use crate::net;

// ANCHOR: reply
/// The address of the reply to a call, carried by the request. If it is dropped unused, the call fails at once with
/// [`CallError::NoProcess`].
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Sends the reply; does nothing if the caller no longer waits.
    pub fn send(self, answer: R) {
        let _ = self.0.send(answer);
    }
}
// ANCHOR_END: reply

/// Why a call has no reply (O7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// No reply came in time.
    Timeout,
    /// The process had ended, or it ended or dropped the [`Reply`] without replying.
    NoProcess,
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Timeout => "no reply in time",
            Self::NoProcess => "the process has ended or dropped the call",
        })
    }
}

impl std::error::Error for CallError {}

// ANCHOR: await_reply
/// Sends the message that `ask` builds and waits for the reply, for at most `wait` in all.
pub(super) async fn call<M: 'static, R: 'static>(
    to: &Pid<M>,
    wait: Duration,
    ask: impl FnOnce(Reply<R>) -> M,
) -> Result<R, CallError> {
    let (reply, answer) = oneshot::channel();
    let message = ask(Reply(reply));
    let exchange = pin!(async {
        to.send(message).await.map_err(|_| CallError::NoProcess)?;
        answer.await.map_err(|_| CallError::NoProcess)
    });
    match timeout(wait, exchange).await {
        Some(replied) => replied,
        None => Err(CallError::Timeout),
    }
}
// ANCHOR_END: await_reply

/// Messages from outside the node.
impl Node {
    /// Calls a process from outside the node and blocks this thread until it replies, ends, or `timeout` is over. A
    /// process must use [`Me::call`](super::Me::call) instead.
    ///
    /// # Errors
    /// The process ended, did not reply in time, or dropped the [`Reply`].
    pub fn call<M: Send + 'static, R: Send + 'static>(
        &self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + Send + 'static,
    ) -> Result<R, CallError> {
        self.ask(to, timeout, ask).wait()
    }

    /// Starts a call and returns at once; the returned value waits for the reply.
    pub fn ask<M: Send + 'static, R: Send + 'static>(
        &self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + Send + 'static,
    ) -> Answer<R> {
        let to = to.clone();
        self.answer(
            timeout,
            move || async move { call(&to, timeout, ask).await },
        )
    }

    /// Runs the future of `ask` in the first arbiter and returns at once; the returned value waits for its output.
    pub(super) fn answer<R: Send + 'static, F>(
        &self,
        timeout: Duration,
        ask: impl FnOnce() -> F + Send + 'static,
    ) -> Answer<R>
    where
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let (sender, answer) = mpsc::channel();
        let due = net::now().saturating_add(timeout);
        self.run_in(0, move || {
            actix::spawn(async move {
                let _ = sender.send(ask().await);
            });
        });
        Answer { answer, due }
    }

    /// Sends a message from outside the node without blocking; the node waits for room in a full mailbox. Messages and
    /// calls from one thread arrive in order.
    pub fn send<M: Send + 'static>(&self, to: &Pid<M>, message: M) {
        let to = to.clone();
        self.run_in(0, move || {
            actix::spawn(async move {
                let _ = to.send(message).await;
            });
        });
    }
}

/// The pending reply to [`Node::ask`].
pub struct Answer<R> {
    answer: mpsc::Receiver<Result<R, CallError>>,
    /// When the call has timed out, also if its arbiter is too busy to notice.
    due: Duration,
}

impl<R> Answer<R> {
    /// Blocks until the call has ended.
    ///
    /// # Errors
    /// As [`Node::call`].
    pub fn wait(self) -> Result<R, CallError> {
        match self
            .answer
            .recv_timeout(self.due.saturating_sub(net::now()))
        {
            Ok(replied) => replied,
            Err(RecvTimeoutError::Timeout) => Err(CallError::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(CallError::NoProcess),
        }
    }
}
