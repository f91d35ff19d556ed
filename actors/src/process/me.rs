//! A process's access to its runtime: it can send, call, wait, link, monitor, set its timeout and use its port. Starting
//! other processes is in `spawn`, fetching a poem in `poem_client`. The last few methods serve connections only.

use std::time::Duration;

use super::call::{self, CallError, Reply};
use super::control::{Control, Ready, Resume, Wait};
use super::info::WaitsFor;
use super::name::Name;
use super::node::Node;
use super::pid::{Pid, SendError};
use super::process_ref::{ProcessRef, Signal};
use super::registry::RegisterError;
use super::{Next, Process};
use crate::monitor::{Down, Exit, MonitorId, ProcessId, Reason};

/// A process's access to its runtime, lent to each of its handlers.
pub struct Me<'a, P: Process> {
    /// The process's port.
    pub port: &'a mut P::Port,
    pub(super) control: &'a mut Control<P>,
}

impl<P: Process> Me<'_, P> {
    /// Returns this process's pid.
    pub fn pid(&self) -> Pid<P::Message> {
        self.control.pid.clone()
    }

    /// Returns a type-erased reference to this process.
    pub fn process(&self) -> ProcessRef {
        self.control.pid.process()
    }

    /// Returns this process's name.
    pub fn name(&self) -> Name {
        self.control.pid.record().name
    }

    /// Registers this process under `name`: `register(Name, self())` (O9). A supervised process that does so in
    /// [`Process::started`] keeps its name through restarts. Until then [`Node::whereis`] does not find it; a process that
    /// its siblings need at their start is registered before it runs, by [`Me::spawn_link_registered`].
    ///
    /// # Errors
    /// Another live process has the name.
    pub fn register(&self, name: impl Into<Name>) -> Result<(), RegisterError> {
        self.node().register(name, &self.control.pid)
    }

    /// Returns the index of the arbiter it runs in.
    pub fn worker(&self) -> u32 {
        self.control.local.worker
    }

    /// Returns the node it belongs to.
    pub fn node(&self) -> &Node {
        &self.control.local.node
    }

    /// Returns the time since the origin of the node's clock, which is monotonic. All calls in one turn return the time of
    /// the first, so that a turn reads the clock once.
    #[inline]
    pub fn now(&mut self) -> Duration {
        let timers = &self.control.local.timers;
        *self.control.now.get_or_insert_with(|| timers.now())
    }

    /// Sets the timeout to `wait` from now, replacing the earlier one: [`Timeout`](super::Received::Timeout) is then
    /// received once. Messages that arrive before do not change it.
    #[inline]
    pub fn after(&mut self, wait: Duration) {
        let now = self.now();
        self.until(now.saturating_add(wait));
    }

    /// Sets the timeout to the time `due` of the clock that [`Me::now`] reads, replacing the earlier one.
    #[inline]
    pub fn until(&mut self, due: Duration) {
        self.control.due = Some(due);
    }

    /// Removes the timeout.
    pub fn forever(&mut self) {
        self.control.due = None;
    }

    /// Receives exits as messages from now on (O3): `process_flag(trap_exit, true)`.
    pub fn trap_exits(&mut self) {
        self.set_trap_exits(true);
    }

    /// Sets whether exits are received as messages, and returns whether they were: `process_flag(trap_exit, Flag)`. An exit
    /// that has become a message stays one.
    pub fn set_trap_exits(&mut self, traps: bool) -> bool {
        std::mem::replace(&mut self.control.traps_exits, traps)
    }

    /// Sends `message`. If the mailbox is full, this process receives nothing until there is room (O1); what it sends
    /// meanwhile keeps its order. A message to a process that has ended is dropped.
    ///
    /// Two processes that send to each other through full mailboxes wait for ever, and so does a process that sends too
    /// much to itself. Let messages flow one way, reserve room before sending, or [call](Self::call), which times out.
    pub fn send<M: Send + 'static>(&mut self, to: &Pid<M>, message: M) {
        let message = if self.control.waits() {
            message
        } else {
            match to.try_send(message) {
                Err(SendError::Full(message)) => message,
                Ok(()) | Err(SendError::NoProcess(_)) => return,
            }
        };
        let to = to.clone();
        self.control.wait(Wait {
            what: WaitsFor::Room(to.record().name),
            ready: Ready::Sent(Box::pin(async move {
                let _ = to.send(message).await;
            })),
        });
    }

    /// Calls `to` with the message that `ask` builds (O7). This returns at once. The process receives nothing until `to` has
    /// replied or ended, or `timeout` is over; then `then` handles the reply or the error.
    ///
    /// ```
    /// use actors::{Me, Next, NoPort, Node, Pid, Process, Reason, Received, Reply};
    /// use std::time::Duration;
    ///
    /// struct Dice;
    ///
    /// impl Process for Dice {
    ///     type Message = Reply<u32>;
    ///     type Port = NoPort;
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    ///         if let Received::Message(reply) = received {
    ///             reply.send(4);
    ///         }
    ///         Next::Receive
    ///     }
    /// }
    ///
    /// struct Player(Pid<Reply<u32>>);
    ///
    /// impl Process for Player {
    ///     type Message = ();
    ///     type Port = NoPort;
    ///
    ///     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
    ///         let timeout = Duration::from_secs(5);
    ///         me.call(&self.0, timeout, |reply| reply, |_player, rolled, _me| {
    ///             assert_eq!(rolled, Ok(4));
    ///             Next::Exit(Reason::Normal)
    ///         });
    ///         Next::Receive
    ///     }
    ///
    ///     fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    ///         Next::Receive
    ///     }
    /// }
    ///
    /// let node = Node::start_one()?;
    /// let dice = node.spawn("dice", Dice);
    /// let player = node.spawn("player", Player(dice));
    /// assert_eq!(node.join(&player.process()), Reason::Normal);
    /// node.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    // ANCHOR: call_and_resume
    pub fn call<M: Send + 'static, R: 'static>(
        &mut self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + 'static,
        then: impl FnOnce(&mut P, Result<R, CallError>, &mut Me<'_, P>) -> Next + 'static,
    ) {
        let (to, what) = (to.clone(), WaitsFor::Reply(to.record().name));
        self.wait_for(
            what,
            async move { call::call(&to, timeout, ask).await },
            then,
        );
    }
    // ANCHOR_END: call_and_resume

    /// Receives nothing until `future` is ready, then calls `then` with its output.
    pub fn wait<F: Future + 'static>(
        &mut self,
        future: F,
        then: impl FnOnce(&mut P, F::Output, &mut Me<'_, P>) -> Next + 'static,
    ) {
        self.wait_for(WaitsFor::Future, future, then);
    }

    /// As [`Me::wait`], and tells who asks what it waits for (O10).
    pub(crate) fn wait_for<F: Future + 'static>(
        &mut self,
        what: WaitsFor,
        future: F,
        then: impl FnOnce(&mut P, F::Output, &mut Me<'_, P>) -> Next + 'static,
    ) {
        let ready = Ready::Then(Box::pin(async move {
            let output = future.await;
            let resume: Resume<P> = Box::new(
                move |state: &mut P, port: &mut P::Port, control: &mut Control<P>| {
                    then(state, output, &mut Me { port, control })
                },
            );
            resume
        }));
        self.control.wait(Wait { what, ready });
    }

    /// Links this process with `other`. When one ends, the other receives the exit if it traps exits, and otherwise exits
    /// too, unless the reason is [`Reason::Normal`] (O3). Linking
    /// to a process that has ended counts as its exit.
    pub fn link(&self, other: &ProcessRef) {
        if other.record().link(self.process()) {
            self.control.pid.record().link(other.clone());
        } else {
            self.process().signal(Signal::Exit(Exit {
                from: Some(other.id()),
                reason: Reason::NoProcess,
            }));
        }
    }

    /// Removes the link with `other`, if there is one.
    pub fn unlink(&self, other: &ProcessRef) {
        other.record().unlink(self.process().id());
        self.control.pid.record().unlink(other.id());
    }

    /// Asks `other` to exit for `reason`, as [`ProcessRef::exit`] does, in this process's name: if `other` traps exits, the
    /// [`Exit`] it receives is [from](Exit::from) this process, as in Erlang's `exit(Pid, Reason)` (O3).
    ///
    /// A process that does not trap exits can exit by this too, also for [`Reason::Normal`], after the handler it is in:
    /// `exit(self(), normal)`.
    pub fn exit(&mut self, other: &ProcessRef, reason: Reason) {
        if other.id() == self.process().id() {
            // With a wait state it looks for urgent signals before it receives anything.
            self.control.wait_state_mut();
        }
        other.signal(Signal::Exit(Exit {
            from: Some(self.process().id()),
            reason,
        }));
    }

    /// Returns the processes linked to this one: `process_info(self(), links)`.
    pub fn links(&self) -> Vec<ProcessId> {
        let links = self.control.pid.record().links();
        links.iter().map(ProcessRef::id).collect()
    }

    /// Sends this process a normal exit of its own, behind the mail it already has. It must trap exits. A supervisor uses
    /// it where OTP's calls `gen_server:cast(self(), …)`.
    pub(crate) fn exit_to_itself(&mut self) {
        let process = self.process();
        self.exit(&process, Reason::Normal);
    }

    /// Monitors `other`: [`Down`](super::Received::Down) is received once when it ends, or at once if it has (O2).
    pub fn monitor(&mut self, other: &ProcessRef) -> MonitorId {
        let (monitor, ended) = other.record().monitor(self.process());
        self.control.monitors().insert(monitor, other.clone());
        if let Some(reason) = ended {
            self.process().signal(Signal::Down(Down {
                monitor,
                process: other.id(),
                reason,
            }));
        }
        monitor
    }

    /// Ends a monitor. Its `Down` will not be received, even if it is already in the mailbox (O2).
    pub fn demonitor(&mut self, monitor: MonitorId, other: &ProcessRef) {
        other.record().demonitor(monitor);
        self.control.monitors().remove(&monitor);
    }
}

/// For connections: fairness to the other processes of the arbiter, and a buffer for replies.
impl<P: Process> Me<'_, P> {
    /// Returns how many requests this process may still answer in this turn (S24).
    #[inline]
    pub fn turn_left(&self) -> u32 {
        self.control.turn_left
    }

    /// Counts `requests` as answered in this turn (S24). When none are left, the turn ends with this handler: every other
    /// ready process of the arbiter has a turn before this one receives the next event of its port.
    #[inline]
    pub fn use_turn(&mut self, requests: u32) {
        self.control.turn_left = self.control.turn_left.saturating_sub(requests);
    }

    /// Borrows the arbiter's empty scratch buffer, for bytes that are written before the handler returns. Failing to
    /// [return it](Self::give_scratch) is harmless.
    #[inline]
    pub fn take_scratch(&mut self) -> Vec<u8> {
        self.control.local.scratch.take()
    }

    /// Returns the scratch buffer and clears it.
    #[inline]
    pub fn give_scratch(&mut self, mut scratch: Vec<u8>) {
        scratch.clear();
        self.control.local.scratch.set(scratch);
    }
}
