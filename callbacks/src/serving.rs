//! Servers behind the contract: one reactor to a thread, the first of which accepts and deals in turn, and a shutdown
//! that waits for what is in flight (S21).

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poetry::{Counters, Counts, Kind, Observer, Options, Reporter, Role, Server, Service, Summary};

use crate::log;
use crate::poem_server::poem_factory;
use crate::protocol::Factory;
use crate::reactor::{Accepted, Acceptor, Inlet, Phase, Port, Reactor, RemoteReactor};
use crate::station::{Admission, Station};
use crate::transform_server::transform_factory;

/// Serves with as many reactors as `options` asks for.
pub(crate) fn serve(
    listener: TcpListener,
    service: Service,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Box<dyn Server>> {
    let address = listener.local_addr()?;
    let role = match &service {
        Service::Poem(_) => Role::PoemServer,
        Service::Transform(_) => Role::TransformServer,
    };
    let plan = Plan {
        service,
        limits: options.limits.clone(),
        reporter: Reporter::new("callbacks", role, options.clock.clone(), observer),
        admission: Admission::new(options.limits.connections_max),
        grace: Arc::new(AtomicU64::new(0)),
        address,
    };
    let mut server = ReactorServer {
        address,
        grace: Arc::clone(&plan.grace),
        accepts: false,
        workers: Vec::new(),
    };
    // The others first, so that the one that accepts has somebody to deal to. If one fails to start, dropping the
    // server ends those that have.
    let mut helpers = Vec::new();
    for worker in 1..options.threads.get() {
        let (worker, intake) = Worker::spawn(worker, plan.clone(), Work::Helps)?;
        server.workers.push(worker);
        helpers.extend(intake);
    }
    let (first, _) = Worker::spawn(0, plan, Work::Accepts(listener, helpers))?;
    server.workers.insert(0, first);
    server.accepts = true;
    Ok(Box::new(server))
}

/// What every worker is told.
#[derive(Clone)]
struct Plan {
    service: Service,
    limits: poetry::Limits,
    reporter: Reporter,
    admission: Arc<Admission>,
    /// Milliseconds that a shutdown waits; written before the reactors are stopped.
    grace: Arc<AtomicU64>,
    address: SocketAddr,
}

/// What a worker does besides serving its connections.
enum Work {
    Accepts(TcpListener, Vec<Inlet<Accepted>>),
    Helps,
}

/// One reactor's thread, seen from outside.
struct Worker {
    remote: RemoteReactor,
    counters: Arc<Counters>,
    thread: JoinHandle<(u64, u64)>,
}

impl Worker {
    /// Starts a reactor in a thread of its own, and waits until it is ready or has failed.
    fn spawn(index: usize, plan: Plan, work: Work) -> io::Result<(Self, Option<Inlet<Accepted>>)> {
        let counters = Arc::new(Counters::default());
        let (ready, started) = mpsc::channel();
        let counts = Arc::clone(&counters);
        let thread = thread::Builder::new()
            .name(format!("reactor-{index}"))
            .spawn(move || run_reactor(index as u32, plan, work, counts, &ready))?;
        match started.recv() {
            Ok(Ok((remote, intake))) => Ok((
                Self {
                    remote,
                    counters,
                    thread,
                },
                intake,
            )),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other(
                "the reactor's thread ended before it was ready",
            )),
        }
    }
}

type Started = io::Result<(RemoteReactor, Option<Inlet<Accepted>>)>;

/// A reactor's thread: returns how many connections finished, and how many were cut, at its shutdown.
fn run_reactor(
    worker: u32,
    plan: Plan,
    work: Work,
    counters: Arc<Counters>,
    ready: &mpsc::Sender<Started>,
) -> (u64, u64) {
    let reactor = match Reactor::open() {
        Ok(reactor) => reactor,
        Err(error) => {
            drop(ready.send(Err(error)));
            return (0, 0);
        }
    };
    let station = Station::new(
        plan.limits,
        counters,
        plan.reporter,
        plan.admission,
        worker,
        plan.address,
    );
    tell_of_troubles(&station);
    let factory = match plan.service {
        Service::Poem(service) => poem_factory(service, &station),
        Service::Transform(service) => transform_factory(service, &station),
    };
    let started = begin(&reactor, &station, factory, work, plan.grace);
    let failed = started.is_err();
    if ready.send(started).is_ok() && !failed {
        // It cannot be running already: it was made above.
        let _ = reactor.run();
    }
    station.summary()
}

/// Handlers' panics are the server's own; what else goes wrong unseen is told the same way, and nothing is printed.
fn tell_of_troubles(station: &Rc<Station>) {
    let station = Rc::clone(station);
    log::set_hook(move |trouble| {
        let kind = Kind::Panicked(trouble.to_string());
        station.reporter.report(station.scene(), kind);
    });
}

/// Takes up the work of a reactor that does not run yet.
fn begin(
    reactor: &Reactor,
    station: &Rc<Station>,
    factory: Rc<dyn Factory>,
    work: Work,
    grace: Arc<AtomicU64>,
) -> Started {
    match work {
        Work::Helps => {
            shut_down_with(reactor, station, None, Vec::new(), grace);
            let inlet = reactor.inlet(move |reactor, accepted| reactor.adopt(accepted, &*factory));
            Ok((reactor.remote(), Some(inlet)))
        }
        Work::Accepts(listener, helpers) => {
            let others = helpers
                .iter()
                .map(|helper| helper.remote().clone())
                .collect();
            let doorkeeper = Doorkeeper::dealing(factory, station, helpers);
            station.admission.set_door(reactor.remote());
            let port = reactor.listen_with(listener, doorkeeper)?;
            shut_down_with(reactor, station, Some(port), others, grace);
            Ok((reactor.remote(), None))
        }
    }
}

/// One that is stopping already needs no telling.
fn stop(reactor: &Reactor) {
    let _ = reactor.stop();
}

// ANCHOR: shutdown
/// Arranges what happens when the reactor is stopped: the port closes, the reactors it dealt to are told, idle
/// connections end, those with something in flight have the grace, and then the rest is cut.
fn shut_down_with(
    reactor: &Reactor,
    station: &Rc<Station>,
    port: Option<Port>,
    others: Vec<RemoteReactor>,
    grace: Arc<AtomicU64>,
) {
    let (context, station) = (reactor.clone(), Rc::clone(station));
    reactor.add_system_event_trigger(Phase::Before, move || {
        station.stop();
        port.iter().for_each(Port::stop_listening);
        for other in &others {
            // Behind every connection that was dealt to it. One that has ended needs no telling.
            let _ = other.call_from_thread(stop);
        }
        context.shut_down_connections();
        let grace = Duration::from_millis(grace.load(Ordering::SeqCst));
        let aborting = context.clone();
        let cut = context.call_later(grace, move || aborting.abort_connections());
        station.quiet().add_callback(move |()| {
            // It has run if something was cut.
            let _ = cut.cancel();
            Ok(())
        })
    });
}
// ANCHOR_END: shutdown

/// Lets connections in while there is room, and deals them to the reactors in turn.
pub(crate) struct Doorkeeper {
    factory: Rc<dyn Factory>,
    station: Rc<Station>,
    helpers: Vec<Inlet<Accepted>>,
    next: Cell<usize>,
}

impl Doorkeeper {
    /// All connections are served in this reactor.
    pub(crate) fn alone(
        reactor: &Reactor,
        factory: Rc<dyn Factory>,
        station: &Rc<Station>,
    ) -> Rc<dyn Acceptor> {
        station.admission.set_door(reactor.remote());
        Self::dealing(factory, station, Vec::new())
    }

    fn dealing(
        factory: Rc<dyn Factory>,
        station: &Rc<Station>,
        helpers: Vec<Inlet<Accepted>>,
    ) -> Rc<dyn Acceptor> {
        Rc::new(Self {
            factory,
            station: Rc::clone(station),
            helpers,
            next: Cell::new(0),
        })
    }
}

impl Acceptor for Doorkeeper {
    fn wants_more(&self) -> bool {
        self.station.admission.has_room()
    }

    fn accepted(&self, reactor: &Reactor, accepted: Accepted) {
        self.station.admission.enter();
        let turn = self.next.get();
        self.next.set((turn + 1) % (self.helpers.len() + 1));
        match turn.checked_sub(1) {
            None => reactor.adopt(accepted, &*self.factory),
            Some(helper) => {
                if self.helpers[helper].send(accepted).is_err() {
                    self.station.admission.leave();
                }
            }
        }
    }

    fn accept_failed(&self, error: io::Error) {
        let kind = Kind::AcceptFailed(error.to_string());
        self.station.reporter.report(self.station.scene(), kind);
    }
}

/// A server of this model, behind the contract.
struct ReactorServer {
    address: SocketAddr,
    grace: Arc<AtomicU64>,
    /// Whether the first worker accepts; it then stops the others, once it deals no more.
    accepts: bool,
    workers: Vec<Worker>,
}

impl ReactorServer {
    /// Stops the reactors and waits for their threads.
    fn end(&mut self, grace: Duration) -> Summary {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.grace.store(millis, Ordering::SeqCst);
        let told = if self.accepts { 1 } else { self.workers.len() };
        for worker in self.workers.iter().take(told) {
            let _ = worker.remote.call_from_thread(stop);
        }
        let mut summary = Summary::default();
        let mut counters = Vec::new();
        for worker in self.workers.drain(..) {
            counters.push(worker.counters);
            // A thread that panicked outside of all callbacks has finished nothing.
            let (finished, cut) = worker.thread.join().unwrap_or_default();
            summary.finished += finished;
            summary.cut += cut;
        }
        summary.counters = Counts::of(counters.iter().map(AsRef::as_ref));
        summary
    }
}

impl Server for ReactorServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(self.workers.iter().map(|worker| &*worker.counters))
    }

    fn shutdown(mut self: Box<Self>, grace: Duration) -> Summary {
        self.end(grace)
    }
}

impl Drop for ReactorServer {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.end(Duration::ZERO);
        }
    }
}
