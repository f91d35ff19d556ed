//! Waiting for the start or the end of a process, on behalf of its supervisor. The process is sent the sending half of a
//! channel: it answers the one when it has started, and drops the other when it has ended.

use std::convert::Infallible;

use tokio::sync::oneshot;

use super::process_ref::{ProcessRef, Signal};
use crate::monitor::Reason;

/// Tells a process's supervisor that it has started.
pub(crate) type Start = oneshot::Sender<()>;
/// Dropped when a process has ended.
pub(crate) type End = oneshot::Sender<Infallible>;

impl ProcessRef {
    /// Waits until the process has started: `proc_lib:init_ack`. A process has started when [`Process::started`] has
    /// returned and what that waits for has come.
    ///
    /// # Errors
    /// The process ended before.
    ///
    /// [`Process::started`]: super::Process::started
    pub(crate) async fn started(&self) -> Result<(), Reason> {
        let (start, started) = oneshot::channel();
        self.signal(Signal::TellStart(start));
        // It may be in its first message already, before it could see the question.
        if self.record().has_started() || started.await.is_ok() || self.record().has_started() {
            return Ok(());
        }
        Err(self.exit_reason().unwrap_or(Reason::NoProcess))
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self) {
        let (end, ended) = oneshot::channel();
        self.signal(Signal::HoldUntilEnd(end));
        let _ = ended.await;
    }
}
