//! The fifth model's servers: one thread accepts, and one thread serves each connection. Every [`TICK`] a thread checks its
//! deadlines and whether the server is stopping: simple rather than fast.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use poetry::Summary;
use poetry::event::Scene;
use poetry::limits::{ACCEPT_RETRY, OFFLOADED_MAX};
use poetry::{CloseReason, Counters, Counts, Kind, Library, Limits, Reporter, Role, Service};

use crate::connection::Connection;
use crate::flaw::Flaw;
use crate::proxy::Cache;

/// How often a thread checks its deadlines and the state of the server.
pub(crate) const TICK: Duration = Duration::from_millis(10);

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const CUT: u8 = 2;

/// The state that the threads of one server share.
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) reporter: Reporter,
    pub(crate) flaw: Flaw,
    pub(crate) cache: Cache,
    /// For the flaw that serves one connection at a time.
    pub(crate) one: Mutex<()>,
    /// For the flaw that accepts nothing after a reset.
    was_reset: AtomicBool,
    state: AtomicU8,
    open: AtomicUsize,
    /// Heavy requests that compute (S25).
    computing: AtomicUsize,
    finished: AtomicU64,
    cut: AtomicU64,
    /// For the flaws about turns: whether the backlog has been empty, and how many connections have had their turns in a row.
    pub(crate) backlog_was_empty: AtomicBool,
    pub(crate) turns_done: AtomicU64,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::SeqCst) != RUNNING
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CUT
    }

    pub(crate) fn report(&self, scene: Scene, kind: Kind) {
        match self.flaw {
            Flaw::ReportsNothing => {}
            Flaw::ReportsAsPoemServer => {
                let reporter = self.reporter.for_role(Role::PoemServer);
                reporter.report(scene, kind);
            }
            _ => self.reporter.report(scene, kind),
        }
    }

    /// Counts a heavy request that begins to compute. Returns `false` if too many do.
    pub(crate) fn begin_computing(&self) -> bool {
        let max = match self.flaw {
            Flaw::ComputesWithoutBound => usize::MAX,
            _ => OFFLOADED_MAX,
        };
        let one_more = |computing| (computing < max).then_some(computing + 1);
        let (order, begun) = (Ordering::SeqCst, &self.computing);
        begun.fetch_update(order, order, one_more).is_ok()
    }

    pub(crate) fn end_computing(&self) {
        self.computing.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(
        listener: TcpListener,
        mut service: Service,
        limits: Limits,
        reporter: Reporter,
        flaw: Flaw,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        if let (Service::Library(service), Flaw::IgnoresReloads) = (&mut service, flaw) {
            service.library = Library::new(service.library.poems());
        }
        let shared = Arc::new(Shared {
            service,
            limits,
            counters: Counters::default(),
            reporter,
            flaw,
            cache: Cache::default(),
            one: Mutex::new(()),
            was_reset: AtomicBool::new(false),
            state: AtomicU8::new(RUNNING),
            open: AtomicUsize::new(0),
            computing: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            backlog_was_empty: AtomicBool::new(false),
            turns_done: AtomicU64::new(0),
        });
        if flaw == Flaw::CountsFromOne {
            shared.counters.accepted();
            shared.counters.closed(CloseReason::Done);
        }
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(&listener, &shared)
        });
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    fn stop(&mut self, grace: Duration) {
        let started = Instant::now();
        let ignores_grace = self.shared.flaw == Flaw::IgnoresGrace;
        let state = if ignores_grace { CUT } else { STOPPING };
        self.shared.state.store(state, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        while self.shared.open() > 0 || self.shared.computing.load(Ordering::SeqCst) > 0 {
            if started.elapsed() >= grace {
                self.shared.state.store(CUT, Ordering::SeqCst);
            }
            thread::sleep(TICK / 2);
        }
        self.shared.cache.join_threads();
    }
}

impl poetry::Server for Server {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(std::iter::once(&self.shared.counters))
    }

    fn shutdown(mut self: Box<Self>, grace: Duration) -> Summary {
        self.stop(grace);
        let claimed = u64::from(self.shared.flaw == Flaw::ClaimsACut);
        Summary {
            finished: self.shared.finished.load(Ordering::SeqCst),
            cut: self.shared.cut.load(Ordering::SeqCst) + claimed,
            counters: poetry::Server::counters(&*self),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut task = 0;
    while !shared.is_stopping() {
        let full = shared.open() >= shared.limits.connections_max;
        let is_deaf = shared.was_reset.load(Ordering::SeqCst);
        if is_deaf || full && shared.flaw != Flaw::IgnoresConnectionLimit {
            thread::sleep(TICK);
            continue;
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                let local = stream.local_addr().ok();
                // A flaw about turns claims that all connections share one thread.
                let worker = match shared.flaw.turns_in_a_row() {
                    Some(_) => 0,
                    None => task as u32,
                };
                let scene = Scene {
                    worker,
                    task,
                    local,
                    peer: Some(peer),
                    ..Scene::default()
                };
                task += 1;
                start_connection(stream, scene, shared);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                shared.backlog_was_empty.store(true, Ordering::SeqCst);
                thread::sleep(TICK);
            }
            Err(_) if shared.flaw == Flaw::LoopsWithoutDescriptors => {}
            Err(_) => thread::sleep(ACCEPT_RETRY),
        }
    }
}

fn start_connection(stream: TcpStream, scene: Scene, shared: &Arc<Shared>) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    shared.counters.accepted();
    shared.report(scene, Kind::Accepted);
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut connection = Connection::new(stream, scene, &shared);
        let reason = connection.serve();
        if connection.was_busy {
            let tally = if reason == CloseReason::Cut {
                &shared.cut
            } else {
                &shared.finished
            };
            tally.fetch_add(1, Ordering::SeqCst);
        }
        drop(connection);
        let is_deaf = reason == CloseReason::Reset && shared.flaw == Flaw::StopsAfterReset;
        shared.was_reset.fetch_or(is_deaf, Ordering::SeqCst);
        let reason = match shared.flaw {
            Flaw::CountsEveryCloseAsDone => CloseReason::Done,
            _ => reason,
        };
        shared.counters.closed(reason);
        shared.report(scene, Kind::Closed(reason));
        shared.open.fetch_sub(1, Ordering::SeqCst);
    });
}
