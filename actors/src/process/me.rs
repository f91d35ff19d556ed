//! What a process can do while it handles something: send, call, wait, spawn, link, monitor, set its timeout, use
//! its port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::arbiter::{self, Arbiter};
use super::context::{Core, Resume};
use super::name::Name;
use super::node::Node;
use super::pid::{CallError, Pid, ProcessRef, Reply, SendError, Signal};
use super::{Next, Process};
use crate::monitor::{Down, Exit, MonitorId, ProcessId, Reason};

/// A process's hold on its runtime, lent to it while it handles something.
pub struct Me<'a, P: Process> {
    /// What the process owns of the outside world.
    pub port: &'a mut P::Port,
    pub(super) core: &'a mut Core<P>,
}

impl<P: Process> Me<'_, P> {
    /// Its own pid.
    pub fn pid(&self) -> Pid<P::Message> {
        Pid(Arc::clone(&self.core.inbox) as _)
    }

    /// Itself, without its language.
    pub fn process(&self) -> ProcessRef {
        ProcessRef(Arc::clone(&self.core.inbox) as _)
    }

    /// Its name.
    pub fn name(&self) -> Name {
        self.core.inbox.record.name
    }

    /// The arbiter it runs in, counted from 0.
    pub fn worker(&self) -> u32 {
        self.core.local.worker
    }

    /// The node it belongs to.
    pub fn node(&self) -> &Node {
        &self.core.local.node
    }

    /// The arbiter it runs in.
    pub fn arbiter(&self) -> Arbiter {
        self.node().arbiter(self.core.local.worker as usize)
    }

    /// The time, as it was when this process was first asked for it in this turn.
    #[inline]
    pub fn now(&mut self) -> Duration {
        let timers = &self.core.local.timers;
        *self.core.now.get_or_insert_with(|| timers.now())
    }

    /// Receives [`Timeout`](super::Received::Timeout) `wait` from now, instead of any earlier wish.
    #[inline]
    pub fn after(&mut self, wait: Duration) {
        let now = self.now();
        self.until(now.saturating_add(wait));
    }

    /// Receives [`Timeout`](super::Received::Timeout) at `due`, instead of any earlier wish.
    #[inline]
    pub fn until(&mut self, due: Duration) {
        self.core.due = Some(due);
    }

    /// Wants no timeout.
    pub fn forever(&mut self) {
        self.core.due = None;
    }

    /// Lends an empty buffer, for what is to be written at once, so that no process has to own one of that size.
    /// It is the caller's alone until it is [given back](Self::give_scratch); one that is not is not missed.
    #[inline]
    pub fn take_scratch(&mut self) -> Vec<u8> {
        self.core.local.scratch.take()
    }

    /// Gives a buffer back, for the next process of this arbiter that wants one. What is in it is forgotten.
    #[inline]
    pub fn give_scratch(&mut self, mut scratch: Vec<u8>) {
        scratch.clear();
        self.core.local.scratch.set(scratch);
    }

    /// Receives exits as messages (O3): `process_flag(trap_exit, true)`.
    pub fn trap_exits(&mut self) {
        self.core.traps_exits = true;
    }

    /// Sends `message`. If the mailbox is full this process receives nothing more until there is room (O1); what it
    /// sends meanwhile keeps its order. What is sent to the dead is lost.
    ///
    /// Two processes that send to each other through full mailboxes wait for ever, and so does one that sends too
    /// much to itself: let messages flow one way, promise room before it is used, or [call](Self::call), which ends.
    pub fn send<M: Send + 'static>(&mut self, to: &Pid<M>, message: M) {
        let message = if self.core.waits() {
            message
        } else {
            match to.try_send(message) {
                Err(SendError::Full(message)) => message,
                Ok(()) | Err(SendError::NoProcess(_)) => return,
            }
        };
        let to = to.clone();
        self.core.wait(Box::pin(async move {
            let _ = to.send(message).await;
            None
        }));
    }

    /// Asks `to` and receives nothing else until it has replied, has ended, or `timeout` is over (O7).
    pub fn call<M: Send + 'static, R: 'static>(
        &mut self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + 'static,
        then: impl FnOnce(&mut P, Result<R, CallError>, &mut Me<'_, P>) -> Next + 'static,
    ) {
        let to = to.clone();
        self.wait(async move { to.call(ask, timeout).await }, then);
    }

    /// Receives nothing until `future` has come to its end, then goes on with `then`.
    pub fn wait<F: Future + 'static>(
        &mut self,
        future: F,
        then: impl FnOnce(&mut P, F::Output, &mut Me<'_, P>) -> Next + 'static,
    ) {
        self.core.wait(Box::pin(async move {
            let output = future.await;
            let resume: Resume<P> =
                Box::new(move |state: &mut P, me: &mut Me<'_, P>| then(state, output, me));
            Some(resume)
        }));
    }

    /// Starts a process in this arbiter.
    pub fn spawn<Q: Process>(&self, name: Name, process: Q, port: Q::Port) -> Pid<Q::Message> {
        arbiter::spawn_here(&self.core.local, name, process, port)
    }

    /// Starts a process linked to this one.
    pub fn spawn_link<Q: Process>(&self, name: Name, process: Q, port: Q::Port) -> Pid<Q::Message> {
        let pid = self.spawn(name, process, port);
        self.link(&pid.process());
        pid
    }

    /// Starts a process in any arbiter of the node, linked to this one.
    pub fn spawn_link_in<Q: Process>(
        &self,
        arbiter: &Arbiter,
        name: Name,
        make: impl FnOnce() -> io::Result<(Q, Q::Port)> + Send + 'static,
    ) -> Pid<Q::Message> {
        arbiter.spawn_linked(name, Some(self.process()), make)
    }

    /// Ties two processes: when one ends, the other hears of it or ends too (O3). Linking to the dead is as if it
    /// had ended just now.
    pub fn link(&self, other: &ProcessRef) {
        if other.record().link(self.process()) {
            self.core.inbox.record.link(other.clone());
        } else {
            self.process().signal(Signal::Exit(Exit {
                from: Some(other.id()),
                reason: Reason::NoProcess,
            }));
        }
    }

    /// Those it is linked to: `process_info(self(), links)`.
    pub fn links(&self) -> Vec<ProcessId> {
        self.core.inbox.record.links()
    }

    /// Receives a normal exit of its own, behind what is in its mailbox already; only if it traps exits. What a
    /// supervisor's `gen_server:cast(self(), ...)` is for.
    pub(crate) fn exit_to_itself(&self) {
        let process = self.process();
        process.signal(Signal::Exit(Exit {
            from: Some(process.id()),
            reason: Reason::Normal,
        }));
    }

    /// Unties them.
    pub fn unlink(&self, other: &ProcessRef) {
        other.record().unlink(self.process().id());
        self.core.inbox.record.unlink(other.id());
    }

    /// Receives [`Down`](super::Received::Down) once when `other` has ended; at once if it has (O2).
    pub fn monitor(&mut self, other: &ProcessRef) -> MonitorId {
        let (monitor, ended) = other.record().monitor(self.process());
        self.core.monitors().insert(monitor);
        if let Some(reason) = ended {
            self.process().signal(Signal::Down(Down {
                monitor,
                process: other.id(),
                reason,
            }));
        }
        monitor
    }

    /// Ends a monitor: its `Down` will not be received, not even one that is in the mailbox already (O2).
    pub fn demonitor(&mut self, monitor: MonitorId, other: &ProcessRef) {
        other.record().demonitor(monitor);
        self.core.monitors().remove(&monitor);
    }
}
