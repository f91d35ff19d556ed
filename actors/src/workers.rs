//! The workers of a server that offloads heavy requests (S25). A connection asks their supervisor, one process for the whole
//! server, with a message. It starts a worker for each request, in an arbiter of the worker's own, and the worker answers the
//! connection with a message. A worker that panics crashes, and with it the connection that asked: let it crash.

use std::collections::VecDeque;
use std::convert::Infallible;

use poetry::limits::OFFLOADED_MAX;
use poetry::{Heavy, Refusal};

use crate::listener::STOP_TIMEOUT;
use crate::monitor::{Exit, MonitorId, Reason};
use crate::port::NoPort;
use crate::process::{ById, Me, Name, Next, Pid, Process, ProcessRef, Received, Reply};
use crate::supervisor::{Shutdown, Spec, Started};
use crate::tree::{ChildInfo, Children};

/// The name under which connections find the supervisor of the workers.
const WORKERS: Name = Name::new("workers");
/// Why a heavy request fails if that supervisor has ended.
pub(crate) const GONE: &str = "the supervisor of the workers has ended";

/// To a connection: the answer to its heavy request.
pub(crate) struct Offloaded<B>(pub(crate) Answer<B>);

/// The reply or the refusal, or the message of a panic.
pub(crate) type Answer<B> = Result<Result<B, Refusal>, String>;

/// A heavy request under way, as its connection sees it.
pub(crate) enum Offloading<B> {
    /// The replies before it are not delivered yet.
    Waiting(Heavy<B>),
    /// The supervisor of the workers has been asked, and is monitored.
    Asked(ProcessRef, MonitorId),
}

impl<B: Send + 'static> Offloading<B> {
    pub(crate) fn new(heavy: Heavy<B>) -> Box<Self> {
        Box::new(Self::Waiting(heavy))
    }

    /// Asks the supervisor, unless that is done. Returns `false` if there is none.
    pub(crate) fn ask<P>(&mut self, me: &mut Me<'_, P>) -> bool
    where
        P: Process<Message = Offloaded<B>>,
    {
        if let Self::Asked(..) = self {
            return true;
        }
        let Some(workers) = me.node().whereis::<ToWorkers<B>>(WORKERS) else {
            return false;
        };
        let monitor = me.monitor(&workers.process());
        let asked = Self::Asked(workers.process(), monitor);
        if let Self::Waiting(heavy) = std::mem::replace(self, asked) {
            me.send(&workers, ToWorkers::Answer(heavy, me.pid()));
        }
        true
    }

    /// The answer has come.
    pub(crate) fn demonitor<P: Process>(&self, me: &mut Me<'_, P>) {
        if let Self::Asked(workers, monitor) = self {
            me.demonitor(*monitor, workers);
        }
    }
}

/// To the supervisor of the workers.
enum ToWorkers<B> {
    /// Answer this request.
    Answer(Heavy<B>, Pid<Offloaded<B>>),
    /// List the children: the workers.
    WhichChildren(Reply<Children>),
}

/// Returns the spec of the workers' supervisor in the listener's supervisor.
pub(crate) fn spec<B: Send + 'static>() -> Spec {
    Spec::new(WORKERS, move |me| {
        // The last arbiters of the node have no connections.
        let arbiters = me.node().arbiters();
        let workers = Workers::<B> {
            free: (arbiters.saturating_sub(OFFLOADED_MAX)..arbiters).collect(),
            busy: ById::default(),
            waiting: VecDeque::new(),
            next: 0,
            crashed: 0,
        };
        let workers = me.spawn_link_registered(WORKERS, workers, NoPort)?;
        Ok(Started::supervisor(workers, ToWorkers::WhichChildren))
    })
    .shutdown(Shutdown::After(STOP_TIMEOUT))
}

/// The supervisor. It starts at most as many workers as it has arbiters; further requests wait in order. A connection has at most
/// one, so no more wait than there are connections.
struct Workers<B> {
    /// The indices of the arbiters without a worker.
    free: Vec<usize>,
    busy: ById<Worker<B>>,
    waiting: VecDeque<(Heavy<B>, Pid<Offloaded<B>>)>,
    /// The number of the next worker.
    next: u64,
    crashed: u64,
}

/// A worker, as its supervisor sees it.
struct Worker<B> {
    process: ProcessRef,
    arbiter: usize,
    connection: Pid<Offloaded<B>>,
}

impl<B: Send + 'static> Workers<B> {
    /// Starts workers for the first requests that wait, one in each free arbiter. A connection that has ended needs none.
    fn start(&mut self, me: &mut Me<'_, Self>) {
        while let Some(arbiter) = self.free.pop() {
            let waits = |(_, connection): &(_, Pid<_>)| connection.process().is_alive();
            let next = std::iter::from_fn(|| self.waiting.pop_front()).find(waits);
            let Some((heavy, connection)) = next else {
                return self.free.push(arbiter);
            };
            let name = Name::numbered("worker", self.next);
            self.next += 1;
            let asker = connection.clone();
            let process = me
                .spawn_link_in(&me.node().arbiter(arbiter), name, move || {
                    Ok((Work(Some((heavy, asker))), NoPort))
                })
                .process();
            let worker = Worker {
                process: process.clone(),
                arbiter,
                connection,
            };
            self.busy.insert(process.id(), worker);
        }
    }

    fn exited(&mut self, exit: Exit, me: &mut Me<'_, Self>) -> Next {
        let ended = exit.from.and_then(|from| self.busy.remove(&from));
        let Some(worker) = ended else {
            // The listener's supervisor has ended or asks this one to exit.
            return Next::Exit(exit.reason);
        };
        self.free.push(worker.arbiter);
        // One that ends normally has answered.
        if exit.reason != Reason::Normal {
            self.crashed += 1;
            let message = match exit.reason {
                Reason::Crash(message) => message.to_string(),
                reason => format!("a worker has ended: {reason:?}"),
            };
            me.send(&worker.connection, Offloaded(Err(message)));
        }
        self.start(me);
        Next::Receive
    }

    fn which_children(&self) -> Children {
        let child = |worker: &Worker<B>| ChildInfo {
            name: worker.process.name(),
            process: Some(worker.process.clone()),
            notes: String::new(),
            restarted: None,
            which_children: None,
        };
        let (waiting, crashed) = (self.waiting.len(), self.crashed);
        let max = self.free.len() + self.busy.len();
        Children {
            about: format!(
                "supervisor of at most {max} workers, {waiting} waiting, {crashed} crashed"
            ),
            children: self.busy.values().map(child).collect(),
            more: 0,
        }
    }
}

impl<B: Send + 'static> Process for Workers<B> {
    type Message = ToWorkers<B>;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToWorkers::Answer(heavy, connection)) => {
                self.waiting.push_back((heavy, connection));
                self.start(me);
            }
            Received::Message(ToWorkers::WhichChildren(reply)) => reply.send(self.which_children()),
            Received::Exit(exit) => return self.exited(exit, me),
            Received::Down(_) | Received::Timeout => {}
            Received::Port(never) => match never {},
        }
        Next::Receive
    }
}

/// A worker: answers one request and ends.
struct Work<B>(Option<(Heavy<B>, Pid<Offloaded<B>>)>);

impl<B: Send + 'static> Process for Work<B> {
    type Message = Infallible;
    type Port = NoPort;
    const MAILBOX: usize = 1;
    /// The connection that asked reports the crash, with its addresses.
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if let Some((heavy, connection)) = self.0.take() {
            me.send(&connection, Offloaded(Ok(heavy())));
        }
        Next::Exit(Reason::Normal)
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}
