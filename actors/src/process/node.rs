//! A node: arbiters that run processes together, the names of those processes, and the hook for crashes. `start` starts
//! its threads.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use actix::{ArbiterHandle, System};

use super::name::Name;
use super::pid::Pid;
use super::registry::{RegisterError, Registry};

/// Arbiters that run processes together, each a thread. Clones are the same node. It runs until [`Node::stop`] is called;
/// dropping it stops nothing.
///
/// ```
/// use actors::{Me, Next, NoPort, Node, Process, Received, Reply};
/// use std::time::Duration;
///
/// struct Counter(u64);
///
/// impl Process for Counter {
///     type Message = Reply<u64>;
///     type Port = NoPort;
///
///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
///         if let Received::Message(reply) = received {
///             self.0 += 1;
///             reply.send(self.0);
///         }
///         Next::Receive
///     }
/// }
///
/// let node = Node::start_one()?;
/// let counter = node.spawn("counter", Counter(6));
/// assert_eq!(node.call(&counter, Duration::from_secs(5), |reply| reply), Ok(7));
/// node.stop();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Node(Arc<Shared>);

struct Shared {
    system: System,
    names: Registry,
    crash_hook: OnceLock<CrashHook>,
    arbiters: Vec<ArbiterHandle>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

type CrashHook = Box<dyn Fn(Name, &str) + Send + Sync>;

impl Node {
    pub(super) fn new(
        system: System,
        arbiters: Vec<ArbiterHandle>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self(Arc::new(Shared {
            system,
            names: Registry::default(),
            crash_hook: OnceLock::new(),
            arbiters,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Returns the number of arbiters.
    pub fn arbiters(&self) -> usize {
        self.0.arbiters.len()
    }

    /// Runs `function` in the arbiter at `index`, unless that has stopped.
    pub(super) fn run_in(&self, index: usize, function: impl FnOnce() + Send + 'static) {
        self.0.arbiters[index].spawn_fn(function);
    }

    pub(super) fn is(&self, other: &Node) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Registers `pid` under `name`, by which [`Node::whereis`] finds it while it lives: `register(Name, Pid)` (O9). A name is
    /// free again as soon as its process has ended, so a child that is registered whenever it starts keeps its name through
    /// restarts: see [`Me::register`](super::Me::register) and
    /// [`Me::spawn_link_registered`](super::Me::spawn_link_registered).
    ///
    /// # Errors
    /// Another live process has the name, or `pid` has ended.
    pub fn register<M: 'static>(
        &self,
        name: impl Into<Name>,
        pid: &Pid<M>,
    ) -> Result<(), RegisterError> {
        self.0.names.register(name.into(), pid)
    }

    /// Frees `name`; returns whether a live process had it.
    pub fn unregister(&self, name: impl Into<Name>) -> bool {
        self.0.names.unregister(name.into())
    }

    /// Returns the live process registered under `name`, if it takes messages of type `M`. Between the end of a supervised
    /// process and its restart there is none.
    pub fn whereis<M: 'static>(&self, name: impl Into<Name>) -> Option<Pid<M>> {
        self.0.names.whereis(name.into())
    }

    /// Calls `hook` once for every crash in this node, with the name of the process and the panic's message. It runs in
    /// the thread that crashed and must not block. A panic while a supervisor starts a child counts as that child's crash.
    /// Only the first hook is kept.
    pub fn on_crash(&self, hook: impl Fn(Name, &str) + Send + Sync + 'static) {
        let _ = self.0.crash_hook.set(Box::new(hook));
    }

    pub(crate) fn crashed(&self, name: Name, message: &str) {
        if let Some(hook) = self.0.crash_hook.get() {
            hook(name, message);
        }
    }

    /// Stops all arbiters and blocks until their threads have ended, so a process must not call it. Live processes are
    /// killed.
    pub fn stop(&self) {
        self.0.system.stop();
        let thread = self
            .0
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic of the thread itself has been printed.
            let _ = thread.join();
        }
    }
}
