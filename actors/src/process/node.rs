//! Where processes run: a node of one or more arbiters, each a thread of its own with its deadlines and one read
//! buffer for all its ports.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix::{ArbiterHandle, System};
use poetry::limits::READ_BUFFER_BYTES;

use super::arbiter::Arbiter;
use super::name::Name;
use super::pid::{CallError, Pid, ProcessRef, Reply};
use super::time::TestClock;
use crate::net;
use crate::timers::{Time, Timers};

/// Arbiters that run processes together. Clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<Shared>);

struct Shared {
    system: System,
    names: Mutex<HashMap<Name, Registered>>,
    crash_hook: OnceLock<CrashHook>,
    arbiters: Vec<ArbiterHandle>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

type CrashHook = Box<dyn Fn(Name, &str) + Send + Sync>;

/// A process that has a name in its node.
struct Registered {
    process: ProcessRef,
    pid: Box<dyn Any + Send>,
}

/// One thread's part of a node.
pub(super) struct Local {
    pub(super) node: Node,
    pub(super) worker: u32,
    pub(super) timers: Timers,
    pub(super) read_buffer: RefCell<Box<[u8]>>,
    /// Empty, or lent.
    pub(super) scratch: Cell<Vec<u8>>,
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

impl Local {
    pub(super) fn current() -> Option<Rc<Self>> {
        LOCAL.with_borrow(Clone::clone)
    }

    /// Whether this is the thread of `arbiter`.
    pub(super) fn is(&self, arbiter: &Arbiter) -> bool {
        self.worker as usize == arbiter.index && Arc::ptr_eq(&self.node.0, &arbiter.node.0)
    }
}

impl Node {
    /// Starts `arbiters` threads.
    ///
    /// # Errors
    /// The system had no thread or no descriptor to spare.
    pub fn start(arbiters: NonZeroUsize) -> io::Result<Self> {
        Self::start_on(arbiters, || Time::Real(net::now))
    }

    /// Starts one arbiter whose time stands still until the clock is told to move it.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_on_test_clock() -> io::Result<(Self, TestClock)> {
        let node = Self::start_on(NonZeroUsize::MIN, || Time::Virtual(Rc::default()))?;
        Ok((node.clone(), TestClock { node }))
    }

    fn start_on(arbiters: NonZeroUsize, time: fn() -> Time) -> io::Result<Self> {
        let runtimes: Vec<_> = (0..arbiters.get())
            .map(|_| runtime())
            .collect::<io::Result<_>>()?;
        let (started, handles) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("actors".to_owned())
            .spawn(move || run(runtimes, &started))?;
        let (system, arbiters) = handles
            .recv()
            .map_err(|_| io::Error::other("the first arbiter did not start"))??;
        let node = Self(Arc::new(Shared {
            system,
            names: Mutex::default(),
            crash_hook: OnceLock::new(),
            arbiters,
            thread: Mutex::new(Some(thread)),
        }));
        for (worker, arbiter) in (0..).zip(&node.0.arbiters) {
            let node = node.clone();
            arbiter.spawn_fn(move || settle_in(node, worker, time()));
        }
        Ok(node)
    }

    /// How many arbiters it has.
    pub fn arbiters(&self) -> usize {
        self.0.arbiters.len()
    }

    /// The arbiter at `index`, taken round and round.
    pub fn arbiter(&self, index: usize) -> Arbiter {
        Arbiter {
            node: self.clone(),
            index: index % self.arbiters(),
        }
    }

    /// Has the arbiter at `index` run `function`, if it has not stopped.
    pub(super) fn run_in(&self, index: usize, function: impl FnOnce() + Send + 'static) {
        self.0.arbiters[index].spawn_fn(function);
    }

    /// Asks a process from outside the node, blocking this thread until it has replied, has ended, or `timeout` is
    /// over. Not to be called by a process.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn call<M: Send + 'static, R: Send + 'static>(
        &self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + Send + 'static,
    ) -> Result<R, CallError> {
        self.ask(to, timeout, ask).wait()
    }

    /// The same in two steps: asks now; what is returned waits for the answer.
    pub fn ask<M: Send + 'static, R: Send + 'static>(
        &self,
        to: &Pid<M>,
        timeout: Duration,
        ask: impl FnOnce(Reply<R>) -> M + Send + 'static,
    ) -> Answer<R> {
        let (sender, answer) = mpsc::channel();
        let to = to.clone();
        self.run_in(0, move || {
            actix::spawn(async move {
                let _ = sender.send(to.call(ask, timeout).await);
            });
        });
        Answer(answer)
    }

    /// Sends from outside the node without blocking: a full mailbox is waited for inside. What one thread sends and
    /// asks arrives in that order.
    pub fn send<M: Send + 'static>(&self, to: &Pid<M>, message: M) {
        let to = to.clone();
        self.run_in(0, move || {
            actix::spawn(async move {
                let _ = to.send(message).await;
            });
        });
    }

    /// Gives `pid` a name by which [`Node::whereis`] finds it while it lives. `false`: another process that lives
    /// has that name.
    pub fn register<M: 'static>(&self, name: Name, pid: &Pid<M>) -> bool {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(&name).is_some_and(|held| held.process.is_alive()) {
            return false;
        }
        let process = pid.process();
        let pid = Box::new(pid.clone());
        names.insert(name, Registered { process, pid });
        true
    }

    /// The process called `name`, if one lives that takes messages of type `M`.
    pub fn whereis<M: 'static>(&self, name: Name) -> Option<Pid<M>> {
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let held = names.get(&name).filter(|held| held.process.is_alive())?;
        held.pid.downcast_ref::<Pid<M>>().cloned()
    }

    /// Has `hook` called once for every crash in this node, with the process's name and the panic's message, in the
    /// thread where it happened: it must not block. A start that panics is the crash of the child that it was for. Only
    /// the first hook counts.
    pub fn on_crash(&self, hook: impl Fn(Name, &str) + Send + Sync + 'static) {
        let _ = self.0.crash_hook.set(Box::new(hook));
    }

    pub(crate) fn crashed(&self, name: Name, message: &str) {
        if let Some(hook) = self.0.crash_hook.get() {
            hook(name, message);
        }
    }

    /// Stops all arbiters and waits for their threads. Processes that still live are killed.
    pub fn stop(&self) {
        self.0.system.stop();
        let thread = self
            .0
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // Its panics are contained; there is nothing to learn from a join.
            let _ = thread.join();
        }
    }
}

/// An answer that is on its way out of a node.
pub struct Answer<R>(mpsc::Receiver<Result<R, CallError>>);

impl<R> Answer<R> {
    /// Blocks until it is there, or it is clear that it will not come.
    ///
    /// # Errors
    /// Why it will not.
    pub fn wait(self) -> Result<R, CallError> {
        self.0.recv().unwrap_or(Err(CallError::NoProcess))
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

type Started = io::Result<(System, Vec<ArbiterHandle>)>;

/// The first arbiter's thread: runs its own arbiter and sees the others start and end.
fn run(runtimes: Vec<tokio::runtime::Runtime>, started: &mpsc::Sender<Started>) {
    let mut runtimes = runtimes.into_iter();
    let Some(first) = runtimes.next() else { return };
    let runner = System::with_tokio_rt(|| first);
    let others: io::Result<Vec<_>> = runtimes
        .map(|runtime| actix::Arbiter::try_with_tokio_rt(move || Ok(runtime)))
        .collect();
    let others = match others {
        Ok(others) => others,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let system = System::current();
    let mut handles = vec![system.arbiter().clone()];
    handles.extend(others.iter().map(actix::Arbiter::handle));
    if started.send(Ok((system, handles))).is_ok() {
        let _ = runner.run();
    }
    for arbiter in others {
        arbiter.stop();
        let _ = arbiter.join();
    }
}

/// Prepares this thread for processes.
fn settle_in(node: Node, worker: u32, time: Time) {
    let local = Rc::new(Local {
        node,
        worker,
        timers: Timers::new(time.clone()),
        read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
        scratch: Cell::default(),
    });
    LOCAL.set(Some(Rc::clone(&local)));
    if let Time::Real(_) = time {
        actix::spawn(async move { net::drive(&local.timers).await });
    }
}
