//! The threads of a server, with one runtime each. The first one accepts and deals the connections to all in turn.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::{Stream, StreamExt, future};
use poetry::limits::OFFLOADED_MAX;
use poetry::{Counters, Counts, Limits, Observer, Options, Reporter, Service, Summary, panics};
use poetry::{LibraryService, PoemService, TransformService};
use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::connection::Connection;
use crate::net::{self, Accepted, Socket};
use crate::poem_server::write_poems;
use crate::proxy::{Cache, relay_poems};
use crate::shared::{Shared, Stop};
use crate::transform_server::answer_connections;
use details::Parts;
use round_robin::{HandedOver, channels, keep_every_nth};

mod details;
mod round_robin;

/// The phase of a server, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing is accepted, and connections in flight have `grace` to finish.
    Stopping {
        grace: Duration,
    },
    /// Connections that are still open are cut.
    Over,
}

/// Starts [`Phase::Over`] when it is dropped. Every worker waits for that phase, so a panic must start it too.
struct OverOnDrop(watch::Sender<Phase>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Over);
    }
}

/// A running server. Dropping it shuts it down without grace, which also blocks until its threads have ended.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
    stop: Arc<Stop>,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    parts: Parts,
}

impl RunningServer {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counts up to now (S23).
    pub fn counters(&self) -> Counts {
        Counts::of(self.counters.iter().map(|counters| &**counters))
    }

    /// Stops accepting, lets requests in flight finish for up to `grace`, closes the rest, and ends every thread of the
    /// server (S21). Blocks until then; in a runtime, call it in `spawn_blocking`.
    pub fn shutdown(mut self, grace: Duration) -> Summary {
        self.end(grace);
        Summary {
            finished: self.stop.finished.load(Ordering::Relaxed),
            cut: self.stop.cut.load(Ordering::Relaxed),
            counters: self.counters(),
        }
    }

    /// Serves `service` in as many threads as `options` ask for.
    pub(crate) fn start(
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let role = service.role();
        let offloads = matches!(&service, Service::Transform(service) if service.offload);
        let service = Serving::from(service);
        let (permits, offloading) = (
            permits(&options.limits),
            Arc::new(Semaphore::new(OFFLOADED_MAX)),
        );
        let reporter = Reporter::new(crate::NAME, role, options.clock.clone(), observer);
        let mut server = Self {
            address: listener.local_addr()?,
            counters: Vec::new(),
            stop: Arc::default(),
            phase: watch::Sender::new(Phase::Serving),
            threads: Vec::new(),
            parts: Parts {
                runtimes: Vec::new(),
                permits: Arc::clone(&permits),
                permits_max: permits_max(&options.limits),
                offloading: offloads.then(|| Arc::clone(&offloading)),
                cache: match &service {
                    Serving::Proxy(cache) => Some(Arc::clone(cache)),
                    _ => None,
                },
            },
        };
        let (others, receivers) = channels(options.threads.get() - 1);
        let acceptor = Source::Listener {
            listener,
            others,
            permits,
            over: OverOnDrop(server.phase.clone()),
        };
        let sources =
            std::iter::once(acceptor).chain(receivers.into_iter().map(Source::HandedOver));
        for (number, source) in (0..).zip(sources) {
            let worker = Worker {
                number,
                limits: options.limits.clone(),
                service: service.clone(),
                counters: Arc::default(),
                reporter: reporter.clone(),
                stop: Arc::clone(&server.stop),
                offloading: Arc::clone(&offloading),
                phase: server.phase.subscribe(),
            };
            server.counters.push(Arc::clone(&worker.counters));
            let (thread, runtime) = worker.start(source)?;
            server.threads.push(thread);
            server.parts.runtimes.push(runtime);
        }
        Ok(server)
    }

    fn end(&mut self, grace: Duration) {
        self.stop.begin();
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Stopping { grace };
            }
            serving
        });
        for thread in self.threads.drain(..) {
            // A worker that panicked has dropped its connections, and so counted them.
            let _ = thread.join();
        }
    }
}

/// One permit for each connection that the whole server may hold (S16).
fn permits(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits_max(limits) as usize))
}

/// The number of permits: at most as many as one call can acquire and a semaphore holds on every platform.
fn permits_max(limits: &Limits) -> u32 {
    u32::try_from(limits.connections_max).map_or(u32::MAX >> 3, |max| max.min(u32::MAX >> 3))
}

impl poetry::Server for RunningServer {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn counters(&self) -> Counts {
        self.counters()
    }

    fn details(&self) -> Option<String> {
        Some(self.parts.describe())
    }

    fn shutdown(self: Box<Self>, grace: Duration) -> Summary {
        (*self).shutdown(grace)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// The source of a worker's connections.
enum Source {
    Listener {
        listener: TcpListener,
        others: Vec<mpsc::Sender<HandedOver>>,
        permits: Arc<Semaphore>,
        over: OverOnDrop,
    },
    HandedOver(mpsc::Receiver<HandedOver>),
}

/// What the workers of a server serve.
#[derive(Clone)]
enum Serving {
    Poem(PoemService),
    Transforms(TransformService),
    Library(LibraryService),
    /// A proxy has one cache for all workers.
    Proxy(Arc<Cache>),
}

impl From<Service> for Serving {
    fn from(service: Service) -> Self {
        match service {
            Service::Poem(service) => Self::Poem(service),
            Service::Transform(service) => Self::Transforms(service),
            Service::Library(service) => Self::Library(service),
            Service::Proxy(service) => Self::Proxy(Arc::new(Cache::new(service))),
        }
    }
}

/// The state that a worker's thread starts with.
struct Worker {
    number: u32,
    limits: Limits,
    service: Serving,
    counters: Arc<Counters>,
    reporter: Reporter,
    stop: Arc<Stop>,
    offloading: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

impl Worker {
    // ANCHOR: thread_of_runtime
    /// Starts the thread and waits until it has its runtime.
    fn start(self, source: Source) -> io::Result<(JoinHandle<()>, Handle)> {
        let (ready, started) = std_mpsc::channel();
        let name = format!("streams-{}", self.number);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || match self.runtime() {
                Ok(runtime) => runtime.block_on(self.run(source, ready)),
                Err(error) => drop(ready.send(Err(error))),
            })?;
        let panicked = |_| Err(io::Error::other("a worker did not start"));
        let runtime = started.recv().unwrap_or_else(panicked)?;
        Ok((thread, runtime))
    }
    // ANCHOR_END: thread_of_runtime

    fn runtime(&self) -> io::Result<LocalRuntime> {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    }

    async fn run(self, source: Source, ready: std_mpsc::Sender<io::Result<Handle>>) {
        let shared = Rc::new(Shared::new(
            self.number,
            self.limits.clone(),
            Arc::clone(&self.counters),
            self.reporter.clone(),
            Arc::clone(&self.stop),
            Arc::clone(&self.offloading),
        ));
        shared.start_keepers();
        match source {
            Source::Listener {
                listener,
                others,
                permits,
                over,
            } => {
                let max = permits_max(&self.limits);
                let accepted =
                    net::connections(listener, Arc::clone(&permits), self.reporter.clone());
                let accepted = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(Handle::current())));
                self.serve(&shared, keep_every_nth(accepted, others)).await;
                let grace = self.grace().await;
                // Once every permit has been returned, every connection is closed.
                let _ = timeout(grace, permits.acquire_many(max)).await;
                drop(over);
            }
            Source::HandedOver(receiver) => {
                drop(ready.send(Ok(Handle::current())));
                let handed_over = ReceiverStream::new(receiver)
                    .filter_map(|released| future::ready(released.try_map(net::take_over).ok()));
                self.serve(&shared, handed_over).await;
            }
        }
        let mut phase = self.phase.clone();
        let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
    }

    // ANCHOR: shutdown
    /// Serves connections until the server stops. Idle connections then close.
    async fn serve(&self, shared: &Rc<Shared>, accepted: impl Stream<Item = Accepted<Socket>>) {
        let connections = accepted
            .filter_map(|accepted| {
                // A panic of the observer costs only the connection that the event was about.
                let connection = panics::contain(|| Connection::new(accepted, shared));
                future::ready(connection.ok())
            })
            .take_until(self.grace());
        match self.service.clone() {
            Serving::Poem(service) => write_poems(connections, service).await,
            Serving::Transforms(service) => answer_connections(connections, service).await,
            Serving::Library(service) => answer_connections(connections, service).await,
            Serving::Proxy(cache) => relay_poems(connections, cache).await,
        }
        shared.stop_and_wake();
    }

    /// Waits until the server stops. Returns the grace of connections in flight.
    async fn grace(&self) -> Duration {
        let mut phase = self.phase.clone();
        let stopping = phase.wait_for(|phase| *phase != Phase::Serving).await;
        match stopping.as_deref() {
            Ok(Phase::Stopping { grace }) => *grace,
            _ => Duration::ZERO,
        }
    }
    // ANCHOR_END: shutdown
}
