//! The threads of a server: one runtime each. The first accepts, keeps every nth connection and hands over the others.
//!
//! What a worker's connections share needs neither locks nor atomics, since no task leaves its thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::{Stream, StreamExt, future};
use poetry::{
    Counters, Counts, Limits, Observer, Options, Reporter, Role, Service, Summary, panics,
};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::connection::Connection;
use crate::net::{self, Accepted, Socket};
use crate::poem_server::serve_poem;
use crate::shared::{Shared, Stop};
use crate::transform_server::serve_transforms;
use round_robin::{HandedOver, channels, keep_every_nth};

mod round_robin;

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing is accepted any more; what is in flight has so long.
    Stopping {
        grace: Duration,
    },
    /// Whatever is still open is cut.
    Over,
}

/// Says that all is over when it is dropped: every worker waits for that, so a panic must say it too.
struct OverOnDrop(watch::Sender<Phase>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Over);
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Workers {
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
    stop: Arc<Stop>,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Serves `service` in `options.threads` threads.
    pub(crate) fn start(
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let role = match service {
            Service::Poem(_) => Role::PoemServer,
            Service::Transform(_) => Role::TransformServer,
        };
        let reporter = Reporter::new(crate::NAME, role, options.clock.clone(), observer);
        let mut workers = Self {
            address: listener.local_addr()?,
            counters: Vec::new(),
            stop: Arc::default(),
            phase: watch::Sender::new(Phase::Serving),
            threads: Vec::new(),
        };
        let (others, receivers) = channels(options.threads.get() - 1);
        let acceptor = Source::Listener {
            listener,
            others,
            permits: permits(&options.limits),
            over: OverOnDrop(workers.phase.clone()),
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
                stop: Arc::clone(&workers.stop),
                phase: workers.phase.subscribe(),
            };
            workers.counters.push(Arc::clone(&worker.counters));
            workers.threads.push(worker.start(source)?);
        }
        Ok(workers)
    }

    fn end(&mut self, grace: Duration) {
        self.stop.tell();
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Stopping { grace };
            }
            serving
        });
        for thread in self.threads.drain(..) {
            // A worker that panicked has dropped, and so counted, its connections.
            let _ = thread.join();
        }
    }
}

/// One permit for each connection the whole server may hold (S16).
fn permits(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits_max(limits) as usize))
}

fn permits_max(limits: &Limits) -> u32 {
    u32::try_from(limits.connections_max).map_or(u32::MAX >> 3, |max| max.min(u32::MAX >> 3))
}

impl poetry::Server for Workers {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(self.counters.iter().map(|counters| &**counters))
    }

    fn shutdown(mut self: Box<Self>, grace: Duration) -> Summary {
        self.end(grace);
        Summary {
            finished: self.stop.finished.load(Ordering::Relaxed),
            cut: self.stop.cut.load(Ordering::Relaxed),
            counters: self.counters(),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// Where a worker's connections come from.
enum Source {
    Listener {
        listener: TcpListener,
        others: Vec<mpsc::Sender<HandedOver>>,
        permits: Arc<Semaphore>,
        over: OverOnDrop,
    },
    HandedOver(mpsc::Receiver<HandedOver>),
}

/// What a worker's thread is started with.
struct Worker {
    number: u32,
    limits: Limits,
    service: Service,
    counters: Arc<Counters>,
    reporter: Reporter,
    stop: Arc<Stop>,
    phase: watch::Receiver<Phase>,
}

impl Worker {
    /// Starts the thread, and waits until it has its runtime.
    fn start(self, source: Source) -> io::Result<JoinHandle<()>> {
        let (ready, started) = std_mpsc::channel();
        let name = format!("streams-{}", self.number);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || match self.prepare() {
                Ok(runtime) => runtime.block_on(self.work(source, ready)),
                Err(error) => drop(ready.send(Err(error))),
            })?;
        let gone = |_| Err(io::Error::other("a worker did not start"));
        started.recv().unwrap_or_else(gone).map(|()| thread)
    }

    fn prepare(&self) -> io::Result<LocalRuntime> {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    }

    async fn work(self, source: Source, ready: std_mpsc::Sender<io::Result<()>>) {
        let shared = Rc::new(Shared::new(
            self.number,
            self.limits.clone(),
            Arc::clone(&self.counters),
            self.reporter.clone(),
            Arc::clone(&self.stop),
        ));
        let deadlines = Rc::clone(&shared.deadlines);
        spawn_local(async move { deadlines.run().await });
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
                drop(ready.send(Ok(())));
                self.serve(&shared, keep_every_nth(accepted, others)).await;
                let grace = self.grace().await;
                // When every permit has come back, every connection is gone.
                let _ = timeout(grace, permits.acquire_many(max)).await;
                drop(over);
            }
            Source::HandedOver(receiver) => {
                drop(ready.send(Ok(())));
                let handed_over = ReceiverStream::new(receiver)
                    .filter_map(|released| future::ready(released.try_map(net::take_over).ok()));
                self.serve(&shared, handed_over).await;
            }
        }
        let mut phase = self.phase.clone();
        let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
    }

    // ANCHOR: shutdown
    /// Serves what comes until the server is told to stop; then those that are idle close.
    async fn serve(&self, shared: &Rc<Shared>, accepted: impl Stream<Item = Accepted<Socket>>) {
        let connections = accepted
            .filter_map(|accepted| {
                // An observer that panics costs the connection it was told of, and nobody else.
                let connection = panics::contain(|| Connection::accept(accepted, shared));
                future::ready(connection.ok())
            })
            .take_until(self.grace());
        match self.service.clone() {
            Service::Poem(service) => serve_poem(connections, service).await,
            Service::Transform(service) => serve_transforms(connections, service).await,
        }
        shared.show_stop();
    }

    /// Waits until the server is told to stop: how long what is in flight may take.
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
