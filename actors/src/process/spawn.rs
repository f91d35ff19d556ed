//! Starting processes: from outside in any arbiter of a node, and by other processes.

use std::io;
use std::rc::Rc;
use std::sync::mpsc;

use poetry::panics::contain;

use super::actor::{Inbox, mailbox};
use super::local::Local;
use super::me::Me;
use super::name::Name;
use super::node::Node;
use super::pid::Pid;
use super::process_ref::ProcessRef;
use super::registry::RegisterError;
use super::task::launch;
use super::{Next, Process, Received};
use crate::monitor::Reason;
use crate::port::NoPort;

/// One thread of a node, in which processes can be started.
#[derive(Clone)]
pub struct Arbiter {
    node: Node,
    index: usize,
}

impl Node {
    /// Returns the arbiter at `index`, modulo the number of arbiters.
    pub fn arbiter(&self, index: usize) -> Arbiter {
        Arbiter {
            node: self.clone(),
            index: index % self.arbiters(),
        }
    }

    /// Starts a process without a port in the first arbiter.
    pub fn spawn<P: Process<Port = NoPort> + Send>(
        &self,
        name: impl Into<Name>,
        process: P,
    ) -> Pid<P::Message> {
        self.arbiter(0).spawn(name, || Ok((process, NoPort)))
    }

    /// Blocks this thread until `process` has ended, and returns the reason, or [`Reason::NoProcess`] if the node stops
    /// first. A process must use [`Me::monitor`] instead.
    pub fn join(&self, process: &ProcessRef) -> Reason {
        let (ended, reason) = mpsc::channel();
        let process = process.clone();
        self.spawn("join", Join { process, ended });
        // No reason comes if the node has stopped.
        reason.recv().unwrap_or(Reason::NoProcess)
    }
}

/// Waits for the end of a process on behalf of a thread outside the node.
struct Join {
    process: ProcessRef,
    ended: mpsc::Sender<Reason>,
}

impl Process for Join {
    type Message = std::convert::Infallible;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.monitor(&self.process);
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Down(down) = received {
            let reason = self.process.exit_reason().unwrap_or(down.reason);
            let _ = self.ended.send(reason);
        }
        Next::Exit(Reason::Normal)
    }
}

impl Arbiter {
    /// Starts the process that `make` returns; `make` runs in this arbiter. The pid can be used at once. If `make` fails
    /// or panics, or the arbiter has stopped, the process ends without having started.
    pub fn spawn<P: Process>(
        &self,
        name: impl Into<Name>,
        make: impl FnOnce() -> io::Result<(P, P::Port)> + Send + 'static,
    ) -> Pid<P::Message> {
        self.spawn_linked(name.into(), None, make)
    }

    /// Starts a process that is linked to `parent` before it runs.
    fn spawn_linked<P: Process>(
        &self,
        name: Name,
        parent: Option<ProcessRef>,
        make: impl FnOnce() -> io::Result<(P, P::Port)> + Send + 'static,
    ) -> Pid<P::Message> {
        let (pid, inbox) = mailbox::<P>(name);
        if let Some(parent) = parent {
            parent.record().link(pid.process());
            pid.record().link(parent);
        }
        let starting = NotStarted(Some((pid.clone(), inbox)));
        match Local::current().filter(|local| self.is(local)) {
            // The caller runs in this arbiter, so no command to it is needed.
            Some(local) => match create(make) {
                Ok(created) => starting.start(local, created),
                // Later, as in any other arbiter, so that the caller can monitor it first.
                Err(reason) => self.node.run_in(self.index, move || starting.fail(&reason)),
            },
            None => self.node.run_in(self.index, move || {
                if let Some(local) = Local::current() {
                    match create(make) {
                        Ok(created) => starting.start(local, created),
                        Err(reason) => starting.fail(&reason),
                    }
                }
            }),
        }
        pid
    }

    /// Returns whether `local` is this arbiter's.
    fn is(&self, local: &Local) -> bool {
        local.worker as usize == self.index && local.node.is(&self.node)
    }
}

fn create<T>(make: impl FnOnce() -> io::Result<T>) -> Result<T, Reason> {
    match contain(make) {
        Ok(created) => created.map_err(|error| Reason::crash(error.to_string())),
        Err(message) => Err(Reason::crash(message)),
    }
}

/// A process that has a pid but does not run yet. Dropping it, as a stopped arbiter does, ends the process.
struct NotStarted<P: Process>(Option<(Pid<P::Message>, Inbox<P>)>);

impl<P: Process> NotStarted<P> {
    fn start(mut self, local: Rc<Local>, created: (P, P::Port)) {
        if let Some(mailbox) = self.0.take() {
            launch(local, mailbox, created);
        }
    }

    fn fail(mut self, reason: &Reason) {
        if let Some((pid, _)) = self.0.take() {
            pid.record().end(reason, None);
        }
    }
}

impl<P: Process> Drop for NotStarted<P> {
    fn drop(&mut self) {
        if let Some((pid, _)) = self.0.take() {
            pid.record().end(&Reason::NoProcess, None);
        }
    }
}

/// Processes that start processes.
impl<P: Process> Me<'_, P> {
    /// Returns the arbiter this process runs in.
    pub fn arbiter(&self) -> Arbiter {
        self.node().arbiter(self.worker() as usize)
    }

    /// Starts a process in this arbiter.
    pub fn spawn<Q: Process>(
        &self,
        name: impl Into<Name>,
        process: Q,
        port: Q::Port,
    ) -> Pid<Q::Message> {
        let mailbox = mailbox::<Q>(name.into());
        let pid = mailbox.0.clone();
        launch(Rc::clone(&self.control.local), mailbox, (process, port));
        pid
    }

    /// Starts a process in this arbiter, linked to this one.
    pub fn spawn_link<Q: Process>(
        &self,
        name: impl Into<Name>,
        process: Q,
        port: Q::Port,
    ) -> Pid<Q::Message> {
        let pid = self.spawn(name, process, port);
        self.link(&pid.process());
        pid
    }

    /// Starts a process in this arbiter, linked to this one and registered under its name before it runs:
    /// `gen_server:start_link({local, Name}, …)` (O9). In the start function of a [`Spec`](crate::Spec) it registers the
    /// child again at every restart, as [`Spec::registered`](crate::Spec::registered) does:
    ///
    /// ```
    /// use actors::{Intensity, Me, Next, NoPort, Node, Process, Received, Reply};
    /// use actors::{Spec, Strategy, Supervisor};
    /// use std::time::Duration;
    ///
    /// struct Counter(u64);
    ///
    /// impl Process for Counter {
    ///     type Message = Option<Reply<u64>>;
    ///     type Port = NoPort;
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    ///         if let Received::Message(reply) = received {
    ///             self.0 += 1;
    ///             reply.expect("a reply to send").send(self.0);
    ///         }
    ///         Next::Receive
    ///     }
    /// }
    ///
    /// let counter = Spec::new("counter", |me| {
    ///     Ok(me.spawn_link_registered("counter", Counter(0), NoPort)?.into())
    /// });
    /// let (node, clock) = Node::start_on_test_clock()?;
    /// node.spawn("supervisor", Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![counter]));
    /// clock.settle();
    /// let counter = || node.whereis::<Option<Reply<u64>>>("counter").expect("a counter");
    /// let count = || node.call(&counter(), Duration::from_secs(5), Some);
    /// assert_eq!((count(), count()), (Ok(1), Ok(2)));
    /// let first = counter();
    /// first.try_send(None).expect("room in its mailbox"); // It crashes.
    /// clock.settle();
    /// assert!(!first.process().is_alive());
    /// assert_eq!(count(), Ok(1)); // Another process, of the same name.
    /// node.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another live process has the name. Nothing is started then.
    pub fn spawn_link_registered<Q: Process>(
        &self,
        name: impl Into<Name>,
        process: Q,
        port: Q::Port,
    ) -> Result<Pid<Q::Message>, RegisterError> {
        let name = name.into();
        let mailbox = mailbox::<Q>(name);
        let pid = mailbox.0.clone();
        self.node().register(name, &pid)?;
        launch(Rc::clone(&self.control.local), mailbox, (process, port));
        self.link(&pid.process());
        Ok(pid)
    }

    /// Starts a process in any arbiter of the node, linked to this one.
    pub fn spawn_link_in<Q: Process>(
        &self,
        arbiter: &Arbiter,
        name: impl Into<Name>,
        make: impl FnOnce() -> io::Result<(Q, Q::Port)> + Send + 'static,
    ) -> Pid<Q::Message> {
        arbiter.spawn_linked(name.into(), Some(self.process()), make)
    }

    /// Hands this process's port to a fresh process, its heir; called in [`Process::terminate`]. The heir is linked to
    /// every process that is linked to this one, and [`ProcessRef::heir`] finds it. Erlang's `terminate` gives a socket
    /// away in the same manner, with `gen_tcp:controlling_process`.
    pub fn hand_over<Q: Process>(
        &mut self,
        name: impl Into<Name>,
        heir: Q,
        port: Q::Port,
    ) -> Pid<Q::Message> {
        let pid = self.spawn(name, heir, port);
        let (process, record) = (pid.process(), self.control.pid.record());
        for linked in record.links() {
            if linked.record().link(process.clone()) {
                process.record().link(linked);
            }
        }
        self.control.wait_state_mut().heir = Some(process);
        pid
    }
}
