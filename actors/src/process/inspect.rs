//! Asking a process about itself (O10). As in Erlang, the question is a signal, which the process answers between two
//! handlers, also while it waits. So nothing is kept up to date for it.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;

use super::call::{Answer, CallError};
use super::control::Control;
use super::info::{ProcessInfo, WaitsFor};
use super::local::timeout;
use super::me::Me;
use super::node::Node;
use super::process_ref::{ProcessRef, Signal};
use super::{Next, Process};

impl Node {
    /// Asks `process` about itself, from outside the node, and blocks this thread until it answers: `process_info(Pid)`.
    ///
    /// ```
    /// # use actors::{Me, Next, NoPort, Node, Process, Received, WaitsFor};
    /// # use std::time::Duration;
    /// # struct Poem;
    /// # impl Process for Poem {
    /// #     type Message = ();
    /// #     type Port = NoPort;
    /// #     fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    /// #         Next::Receive
    /// #     }
    /// # }
    /// let node = Node::start_one()?;
    /// let poem = node.spawn("poem", Poem);
    /// let info = node.process_info(&poem.process(), Duration::from_secs(5))?;
    /// assert_eq!((info.mailbox, info.waits_for), ((0, 64), WaitsFor::Receive));
    /// node.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The process has ended, or it is in one handler for as long as `timeout`.
    pub fn process_info(
        &self,
        process: &ProcessRef,
        timeout: Duration,
    ) -> Result<ProcessInfo, CallError> {
        self.ask_process_info(process, timeout).wait()
    }

    /// Asks and returns at once; the returned value waits for the answer.
    pub(crate) fn ask_process_info(
        &self,
        process: &ProcessRef,
        timeout: Duration,
    ) -> Answer<ProcessInfo> {
        let process = process.clone();
        self.answer(timeout, move || ask(process, timeout))
    }
}

async fn ask(process: ProcessRef, wait: Duration) -> Result<ProcessInfo, CallError> {
    let (asked, answer) = oneshot::channel();
    process.signal(Signal::Info(asked));
    match timeout(wait, pin!(answer)).await {
        Some(answered) => answered.map_err(|_| CallError::NoProcess),
        None => Err(CallError::Timeout),
    }
}

impl<P: Process> Me<'_, P> {
    /// Asks `process` about itself; as with [`Me::call`], `then` handles the answer.
    pub fn process_info(
        &mut self,
        process: &ProcessRef,
        timeout: Duration,
        then: impl FnOnce(&mut P, Result<ProcessInfo, CallError>, &mut Me<'_, P>) -> Next + 'static,
    ) {
        let process = process.clone();
        self.wait(ask(process, timeout), then);
    }

    /// Returns what this process would answer: `process_info(self())`.
    pub fn info(&self) -> ProcessInfo {
        self.control.info()
    }
}

impl<P: Process> Control<P> {
    pub(super) fn info(&self) -> ProcessInfo {
        let process = self.pid.process();
        let record = process.record();
        let now = || self.local.timers.now();
        let state = self.wait_state.as_deref();
        let monitors = state.into_iter().flat_map(|state| state.monitors.values());
        let mut info = ProcessInfo {
            mailbox: process.mailbox(),
            postponed: state.map_or(0, |state| state.postponed.len()),
            links: record.links().iter().map(ProcessRef::id).collect(),
            monitors: monitors.map(ProcessRef::id).collect(),
            monitored_by: record.monitored_by(),
            traps_exits: self.traps_exits,
            timers: state.map_or(0, |state| state.timers.len()),
            timeout: self.due.map(|due| due.saturating_sub(now())),
            waits_for: state
                .and_then(|state| state.waits.front())
                .map_or(WaitsFor::Receive, |wait| wait.what),
        };
        info.links.sort_unstable();
        info.monitors.sort_unstable();
        info.monitored_by.sort_unstable();
        info
    }
}
