//! The state that a server's connections share within one reactor: limits, counters, events, and the progress of a
//! shutdown. `connection_guard.rs` counts one connection in it; the servers' threads are in `serving.rs`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use poetry::event::{Scene, Unobserved};
use poetry::limits::OFFLOADED_MAX;
use poetry::{Counters, Counts, Limits, Reporter, Role};

use crate::connection_limit::ConnectionLimit;
use crate::deferred::{Deferred, Trigger};
use crate::reactor::Transport;
use crate::threads::ThreadPool;

/// The state that all protocols of a server share in one reactor.
///
/// ```
/// use callbacks::{Limits, Reactor, Reporter, Role, ServerState, TransformService, Unobserved};
/// use callbacks::{event::Clock, serve_transforms_with};
/// use std::{net::TcpListener, sync::Arc};
///
/// let limits = Limits { connections_max: 10, ..Limits::default() };
/// let observer = Arc::new(Unobserved); // Or an observer of your own: see `Task`.
/// let reporter = Reporter::new("callbacks", Role::TransformServer, Clock::stopped(), observer);
/// let state = ServerState::new(limits, reporter);
///
/// let (reactor, listener) = (Reactor::open()?, TcpListener::bind("127.0.0.1:0")?);
/// serve_transforms_with(&reactor, listener, TransformService::default(), &state)?;
/// assert_eq!(state.counts().open, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ServerState {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    /// Computes heavy requests (S25).
    pub(crate) pool: ThreadPool,
    worker: u32,
    /// Where the server listens, once it does.
    local: Cell<Option<SocketAddr>>,
    shutdown: Shutdown,
}

/// The progress of a shutdown (S21). Its connections are those that had something in flight when it began.
#[derive(Debug, Default)]
struct Shutdown {
    begun: Cell<bool>,
    unfinished: Cell<u64>,
    finished: Cell<u64>,
    cut: Cell<u64>,
    all_ended: RefCell<Option<Trigger<()>>>,
}

impl ServerState {
    /// Creates the state of a server that runs in one reactor.
    pub fn new(limits: Limits, reporter: Reporter) -> Rc<Self> {
        let connection_limit = ConnectionLimit::new(limits.connections_max);
        let pool = ThreadPool::new(OFFLOADED_MAX);
        Self::of_worker(0, limits, reporter, Arc::default(), connection_limit, pool)
    }

    /// Creates the state of reactor `worker` of a server that runs in several, which share `connection_limit` and `pool`.
    pub(crate) fn of_worker(
        worker: u32,
        limits: Limits,
        reporter: Reporter,
        counters: Arc<Counters>,
        connection_limit: Arc<ConnectionLimit>,
        pool: ThreadPool,
    ) -> Rc<Self> {
        Rc::new(Self {
            limits,
            counters,
            reporter,
            connection_limit,
            pool,
            worker,
            local: Cell::default(),
            shutdown: Shutdown::default(),
        })
    }

    /// Creates the state of a server with the default limits and without an observer.
    pub(crate) fn unobserved(role: Role) -> Rc<Self> {
        let clock = poetry::Clock::stopped();
        let reporter = Reporter::new("callbacks", role, clock, Arc::new(Unobserved));
        Self::new(Limits::default(), reporter)
    }

    /// Returns the server's counts in this reactor (S23).
    pub fn counts(&self) -> Counts {
        Counts::of(std::iter::once(&*self.counters))
    }

    /// Returns whether the server is shutting down.
    #[inline]
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.begun.get()
    }

    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.begun.set(true);
    }

    /// Fires once every connection that delayed the shutdown has ended.
    pub(crate) fn all_ended(&self) -> Deferred<()> {
        if self.shutdown.unfinished.get() == 0 {
            return Deferred::succeed(());
        }
        let (trigger, all_ended) = Deferred::new();
        *self.shutdown.all_ended.borrow_mut() = Some(trigger);
        all_ended
    }

    /// Returns how many of the connections that delayed the shutdown finished, and how many were cut.
    pub(crate) fn finished_and_cut(&self) -> (u64, u64) {
        (self.shutdown.finished.get(), self.shutdown.cut.get())
    }

    /// The shutdown waits for one more connection.
    pub(crate) fn shutdown_delayed(&self) {
        let unfinished = &self.shutdown.unfinished;
        unfinished.set(unfinished.get() + 1);
    }

    /// A connection that delayed the shutdown has ended.
    pub(crate) fn delay_ended(&self, cut: bool) {
        let Shutdown {
            unfinished,
            finished,
            ..
        } = &self.shutdown;
        let ended = if cut { &self.shutdown.cut } else { finished };
        ended.set(ended.get() + 1);
        unfinished.set(unfinished.get() - 1);
        if unfinished.get() == 0
            && let Some(all_ended) = self.shutdown.all_ended.take()
        {
            all_ended.callback(());
        }
    }

    pub(crate) fn listens_at(&self, local: SocketAddr) {
        self.local.set(Some(local));
    }

    pub(crate) fn scene(&self) -> Scene {
        Scene {
            worker: self.worker,
            local: self.local.get(),
            ..Scene::default()
        }
    }

    /// Returns the place of the events of connection `task`. Its own address is asked for only if it can be another than the
    /// server's.
    pub(crate) fn scene_of(&self, task: u64, transport: &Transport) -> Scene {
        let scene = self.scene();
        let local = match scene.local {
            Some(local) if !local.ip().is_unspecified() => Some(local),
            everywhere => transport.host().or(everywhere),
        };
        Scene {
            task,
            local,
            peer: Some(transport.peer()),
            ..scene
        }
    }
}
