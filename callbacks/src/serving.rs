//! Servers behind the contract: one reactor for each thread, the first of which accepts, and a shutdown that waits for
//! what is in flight (S21).

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poetry::limits::OFFLOADED_MAX;
use poetry::{Counters, Kind, Observer, Options, Reporter, Server, Service};

use crate::connection_limit::{ConnectionLimit, LimitedAcceptor};
use crate::deferred::Deferred;
use crate::library_server::library_factory;
use crate::log;
use crate::poem_server::poem_factory;
use crate::protocol::Factory;
use crate::proxy::{self, asking_factory, fetching_factory};
use crate::reactor::{Accepted, Group, Inlet, Phase, Port, Reactor, RemoteReactor};
use crate::server_state::ServerState;
use crate::threads::ThreadPool;
use crate::transform_server::transform_factory;

mod details;
mod running;

use details::{Awaited, Question};
use running::RunningServer;

/// Serves with as many reactors as `options` asks for.
pub(crate) fn serve(
    listener: TcpListener,
    service: Service,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Box<dyn Server>> {
    let address = listener.local_addr()?;
    let role = service.role();
    let plan = Plan {
        service,
        limits: options.limits.clone(),
        reporter: Reporter::new("callbacks", role, options.clock.clone(), observer),
        connection_limit: ConnectionLimit::new(options.limits.connections_max),
        pool: ThreadPool::new(OFFLOADED_MAX),
        grace: Arc::new(AtomicU64::new(0)),
        address,
        group: Group::default(),
        proxy: Arc::default(),
    };
    let mut server = RunningServer {
        address,
        grace: Arc::clone(&plan.grace),
        accepts: false,
        workers: Vec::new(),
    };
    // The helpers start first, because the first worker deals connections to them. If one fails to start, dropping the
    // server ends those that have started.
    let mut helpers = Vec::new();
    for worker in 1..options.threads.get() {
        let (worker, inlet) = Worker::spawn(worker, plan.clone(), Job::Help)?;
        server.workers.push(worker);
        helpers.extend(inlet);
    }
    let (first, _) = Worker::spawn(0, plan, Job::Accept(listener, helpers))?;
    server.workers.insert(0, first);
    server.accepts = true;
    Ok(Box::new(server))
}

/// What every worker of a server needs.
#[derive(Clone)]
struct Plan {
    service: Service,
    limits: poetry::Limits,
    reporter: Reporter,
    connection_limit: Arc<ConnectionLimit>,
    pool: ThreadPool,
    /// The grace of the shutdown in milliseconds, written before the reactors are stopped.
    grace: Arc<AtomicU64>,
    address: SocketAddr,
    /// What its reactors share.
    group: Group,
    proxy: Arc<proxy::Shared>,
}

/// Where a worker's connections come from.
enum Job {
    /// From its own port, which also deals connections to the helpers.
    Accept(TcpListener, Vec<Inlet<Accepted>>),
    /// From the worker that accepts.
    Help,
}

/// The thread of one reactor, seen from other threads.
struct Worker {
    remote: RemoteReactor,
    details: Inlet<Question>,
    counters: Arc<Counters>,
    thread: JoinHandle<(u64, u64)>,
}

impl Worker {
    /// Starts a reactor in a new thread, and waits until it is ready or has failed.
    fn spawn(index: usize, plan: Plan, job: Job) -> io::Result<(Self, Option<Inlet<Accepted>>)> {
        let counters = Arc::new(Counters::default());
        let (ready, started) = mpsc::channel();
        let counts = Arc::clone(&counters);
        let thread = thread::Builder::new()
            .name(format!("reactor-{index}"))
            .spawn(move || run_reactor(index as u32, plan, job, counts, &ready))?;
        match started.recv() {
            Ok(Ok(Ready {
                remote,
                details,
                inlet,
            })) => Ok((
                Self {
                    remote,
                    details,
                    counters,
                    thread,
                },
                inlet,
            )),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other(
                "the reactor's thread ended before it was ready",
            )),
        }
    }
}

/// What other threads need of a reactor that is ready.
struct Ready {
    remote: RemoteReactor,
    details: Inlet<Question>,
    /// For connections that are dealt to it.
    inlet: Option<Inlet<Accepted>>,
}

type Started = io::Result<Ready>;

/// The body of a reactor's thread. Returns how many connections finished, and how many were cut, at its shutdown.
fn run_reactor(
    worker: u32,
    plan: Plan,
    job: Job,
    counters: Arc<Counters>,
    ready: &mpsc::Sender<Started>,
) -> (u64, u64) {
    let reactor = match Reactor::open_in(&plan.group) {
        Ok(reactor) => reactor,
        Err(error) => {
            drop(ready.send(Err(error)));
            return (0, 0);
        }
    };
    let state = ServerState::of_worker(
        worker,
        plan.limits,
        plan.reporter,
        counters,
        plan.connection_limit,
        plan.pool,
    );
    state.listens_at(plan.address);
    report_troubles(&state);
    let details = details::answers(&reactor, &state, Awaited::of(&plan.service, worker));
    let factory = match plan.service {
        Service::Poem(service) => poem_factory(service, &state),
        Service::Transform(service) => transform_factory(service, &state),
        Service::Library(service) => library_factory(service, &state),
        Service::Proxy(service) if worker == 0 => {
            fetching_factory(&reactor, service, &state, &plan.proxy)
        }
        Service::Proxy(service) => asking_factory(&reactor, service, &state, &plan.proxy),
    };
    let started = prepare(&reactor, &state, factory, job, plan.grace).map(|inlet| Ready {
        remote: reactor.remote(),
        details,
        inlet,
    });
    let failed = started.is_err();
    if ready.send(started).is_ok() && !failed {
        // It cannot be running already: it was created above.
        let _ = reactor.run();
    }
    state.finished_and_cut()
}

/// Reports this thread's unhandled failures and panics as events of the server; nothing is printed.
fn report_troubles(state: &Rc<ServerState>) {
    let state = Rc::clone(state);
    log::set_hook(move |trouble| {
        let kind = Kind::Panicked(trouble.to_string());
        state.reporter.report(state.scene(), kind);
    });
}

/// Sets up a reactor for its job before it runs. Returns where its connections come from, if it does not accept them itself.
fn prepare(
    reactor: &Reactor,
    state: &Rc<ServerState>,
    factory: Rc<dyn Factory>,
    job: Job,
    grace: Arc<AtomicU64>,
) -> io::Result<Option<Inlet<Accepted>>> {
    match job {
        Job::Help => {
            shut_down_with(reactor, state, None, Vec::new(), grace);
            let inlet = reactor.inlet(move |reactor, accepted| reactor.adopt(accepted, &*factory));
            Ok(Some(inlet))
        }
        Job::Accept(listener, helpers) => {
            let remotes = helpers
                .iter()
                .map(|helper| helper.remote().clone())
                .collect();
            let port = LimitedAcceptor::listen(reactor, listener, factory, state, helpers)?;
            shut_down_with(reactor, state, Some(port), remotes, grace);
            Ok(None)
        }
    }
}

/// Stops the reactor, unless it is stopping already.
fn stop(reactor: &Reactor) {
    let _ = reactor.stop();
}

// ANCHOR: shutdown
/// Arranges the shutdown that follows [`Reactor::stop`]: the port closes, the helpers stop too, and the reactor keeps
/// running until its connections have ended.
fn shut_down_with(
    reactor: &Reactor,
    state: &Rc<ServerState>,
    port: Option<Port>,
    helpers: Vec<RemoteReactor>,
    grace: Arc<AtomicU64>,
) {
    let (context, state) = (reactor.clone(), Rc::clone(state));
    reactor.add_system_event_trigger(Phase::Before, move || {
        port.iter().for_each(Port::stop_listening);
        let helpers_ended = stop_helpers(&context, &helpers);
        let grace = Duration::from_millis(grace.load(Ordering::SeqCst));
        let all_ended = state.shut_down(&context, grace);
        all_ended.add_callback(|()| helpers_ended)
    });
}

/// Stops the helpers. Fires when all have ended, because until then they may need this reactor: a proxy fetches here.
fn stop_helpers(reactor: &Reactor, helpers: &[RemoteReactor]) -> Deferred<()> {
    if helpers.is_empty() {
        return Deferred::succeed(());
    }
    let (trigger, all_ended) = Deferred::new();
    let all = Cell::new(Some(trigger));
    let running = Cell::new(helpers.len());
    let ended = reactor.inlet(move |_, ()| {
        running.set(running.get() - 1);
        if running.get() == 0
            && let Some(all) = all.take()
        {
            all.callback(());
        }
    });
    for helper in helpers {
        let ending = Ending(ended.clone());
        // Queued behind every connection dealt to the helper. It fails, and drops `ending`, if the helper has ended.
        let _ = helper.call_from_thread(move |reactor| {
            reactor.add_system_event_trigger(Phase::After, move || {
                drop(ending);
                Deferred::succeed(())
            });
            stop(reactor);
        });
    }
    all_ended
}

/// Says that a helper has ended when it is dropped, in whatever way the helper ends.
struct Ending(Inlet<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        // It fails if the first reactor has ended.
        let _ = self.0.send(());
    }
}

// ANCHOR: shut_down
impl ServerState {
    /// Shuts the server's connections down (S21): idle ones close at once, those with something in flight get `grace`, and
    /// then the rest are cut. Fires when all have ended. Stop the port first.
    pub fn shut_down(&self, reactor: &Reactor, grace: Duration) -> Deferred<()> {
        self.begin_shutdown();
        reactor.shut_down_connections();
        let context = reactor.clone();
        let cut = reactor.call_later(grace, move || context.abort_connections());
        self.all_ended().add_callback(move |()| {
            // It fails if the grace is over.
            let _ = cut.cancel();
            Ok(())
        })
    }
}
// ANCHOR_END: shut_down
// ANCHOR_END: shutdown
