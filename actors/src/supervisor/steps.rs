//! The steps of a supervisor: it starts and stops children one after another and waits for each. What arrives meanwhile
//! waits in its mailbox, so a restart that has begun is completed before a shutdown, and a shutdown before anything else.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use super::Supervisor;
use super::child::{Child, ChildError, FailedToStart, Key};
use super::spec::{Restart, Shutdown};
use crate::monitor::Reason;
use crate::process::{Me, Next, ProcessRef, Reply, WaitsFor, timeout};

/// How long a killed child may take to end. A child that stays in one handler for longer cannot be stopped; the supervisor
/// abandons it and counts it in the tree.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a child may take to start, unless its shutdown is [`Shutdown::Infinity`]. Reading the largest library takes
/// less; a start that hangs must not make its supervisor wait for ever.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Why children are started.
pub(super) enum Starting {
    /// The supervisor itself starts.
    First,
    Restart,
    /// A request; the reply is whether the child started.
    Asked(Reply<bool>),
    /// A request to start a child that was terminated.
    Again(Reply<Result<(), ChildError>>),
}

/// The next step once children are stopped.
pub(super) enum Stopped {
    /// Restart these, in this order.
    Start(VecDeque<Key>),
    /// Remove this one and reply.
    Remove(Key, Reply<bool>),
    /// Reply.
    Reply(Reply<Result<(), ChildError>>),
    /// Exit.
    Exit(Reason),
}

impl Supervisor {
    /// Starts the children of `keys`, each when the one before has started.
    pub(super) fn start(
        &mut self,
        mut keys: VecDeque<Key>,
        starting: Starting,
        me: &mut Me<'_, Self>,
    ) -> Next {
        while let Some(key) = keys.pop_front() {
            let Some(child) = self.child(key) else {
                continue;
            };
            let process = match child.start(me) {
                Ok(process) => process,
                Err(reason) => return self.start_failed(key, reason, starting, me),
            };
            let start = await_start(process, child.spec.shutdown);
            let what = WaitsFor::Start(child.spec.name);
            me.wait_for(what, start, move |supervisor, outcome, me| {
                let child = supervisor.child(key);
                if let Some(Err(reason)) = child.map(|child| child.has_started(outcome)) {
                    return supervisor.start_failed(key, reason, starting, me);
                }
                supervisor.remove_if_ignored(key);
                supervisor.start(keys, starting, me)
            });
            return Next::Receive;
        }
        match starting {
            Starting::Asked(reply) => reply.send(true),
            Starting::Again(reply) => reply.send(Ok(())),
            Starting::First | Starting::Restart => {}
        }
        Next::Receive
    }

    /// The child of `key` did not start; those after it are not started either.
    fn start_failed(
        &mut self,
        key: Key,
        reason: Reason,
        starting: Starting,
        me: &mut Me<'_, Self>,
    ) -> Next {
        match starting {
            Starting::First => {
                let child = self.child(key).map(|child| child.spec.name);
                let failed = child.map(|child| FailedToStart { child, reason });
                let reason = failed.map_or(Reason::Shutdown, Reason::shutdown_with);
                return self.stop_all(reason, me);
            }
            Starting::Restart => {
                // The children after it are started with it, after everything that waits in the mailbox.
                self.retries.push_back(key);
                me.exit_to_itself();
            }
            Starting::Asked(reply) => {
                self.children.retain(|child| child.key != key);
                reply.send(false);
            }
            Starting::Again(reply) => {
                self.child(key)
                    .into_iter()
                    .for_each(|child| child.start_failed = false);
                reply.send(Err(ChildError::NotStarted(reason)));
            }
        }
        Next::Receive
    }

    /// Stops the children of `keys`, the last first, each when the one before has ended.
    pub(super) fn stop(
        &mut self,
        mut keys: Vec<Key>,
        then: Stopped,
        me: &mut Me<'_, Self>,
    ) -> Next {
        while let Some(key) = keys.pop() {
            let Some(child) = self.child(key) else {
                continue;
            };
            if let Some(process) = child.process.clone() {
                let shutdown = child.spec.shutdown;
                match shutdown {
                    Shutdown::Kill => process.kill(),
                    Shutdown::After(_) | Shutdown::Infinity => me.exit(&process, Reason::Shutdown),
                }
                me.wait_for(
                    WaitsFor::End(child.spec.name),
                    await_end(process, shutdown),
                    move |supervisor, has_ended, me| {
                        if let Some(child) = supervisor.child(key) {
                            child.was_stopped(has_ended, me);
                        }
                        supervisor.remove_if_temporary(key);
                        supervisor.stop(keys, then, me)
                    },
                );
                return Next::Receive;
            }
            child.start_failed = false;
            self.remove_if_temporary(key);
        }
        match then {
            Stopped::Start(keys) => self.start(keys, Starting::Restart, me),
            Stopped::Remove(key, reply) => {
                self.children.retain(|child| child.key != key);
                reply.send(true);
                Next::Receive
            }
            Stopped::Reply(reply) => {
                reply.send(Ok(()));
                Next::Receive
            }
            Stopped::Exit(reason) => Next::Exit(reason),
        }
    }

    /// Stops all children, the last first, and exits for `reason`.
    pub(super) fn stop_all(&mut self, reason: Reason, me: &mut Me<'_, Self>) -> Next {
        let keys = self.children.iter().map(|child| child.key).collect();
        self.stop(keys, Stopped::Exit(reason), me)
    }

    pub(super) fn remove_if_temporary(&mut self, key: Key) {
        let temporary =
            |child: &Child| child.key == key && child.spec.restart == Restart::Temporary;
        self.children.retain(|child| !temporary(child));
    }

    /// A temporary child that has ended normally in its start is not kept.
    fn remove_if_ignored(&mut self, key: Key) {
        if self.child(key).is_some_and(|child| child.process.is_none()) {
            self.remove_if_temporary(key);
        }
    }
}

/// Waits until `process` has started. One that takes too long is killed.
async fn await_start(process: ProcessRef, shutdown: Shutdown) -> Result<(), Reason> {
    if shutdown == Shutdown::Infinity {
        return process.started().await;
    }
    if let Some(outcome) = timeout(START_TIMEOUT, pin!(process.started())).await {
        return outcome;
    }
    process.kill();
    timeout(KILL_TIMEOUT, pin!(process.ended())).await;
    let seconds = START_TIMEOUT.as_secs();
    Err(Reason::crash(format!("no start within {seconds} s")))
}

/// Waits until `process`, which has been told to stop, has ended; kills it if that takes too long. Returns whether it has
/// ended.
async fn await_end(process: ProcessRef, shutdown: Shutdown) -> bool {
    match shutdown {
        Shutdown::Infinity => {
            process.ended().await;
            return true;
        }
        Shutdown::After(patience) => {
            if timeout(patience, pin!(process.ended())).await.is_some() {
                return true;
            }
            process.kill();
        }
        Shutdown::Kill => {}
    }
    timeout(KILL_TIMEOUT, pin!(process.ended())).await.is_some()
}
