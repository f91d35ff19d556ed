//! The threads of a server, with one runtime each. The first one accepts and deals the connections to all in turn.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::{Stream, StreamExt, future};
use poetry::{Counters, Limits, Reporter, Service, panics};
use poetry::{LibraryService, PoemService, TransformService};
use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::connection::Connection;
use crate::net::{self, Accepted, Socket};
use crate::poem_server::write_poems;
use crate::proxy::{Cache, relay_poems};
use crate::shared::{Shared, Stop};
use crate::transform_server::answer_connections;
use round_robin::{HandedOver, keep_every_nth};

mod details;
mod round_robin;
mod running;

pub use running::RunningServer;

/// How long a worker waits, at a shutdown, for the connections that the acceptor is still handing to it: an acceptor that does not
/// compute has dealt its last within microseconds.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(50);

/// The phase of a server, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing is accepted, and connections are served as before.
    Closed,
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

/// The source of a worker's connections.
enum Source {
    Listener {
        listener: TcpListener,
        others: Vec<mpsc::Sender<HandedOver>>,
        permits: Arc<Semaphore>,
        over: OverOnDrop,
        /// Dropped after the listener.
        open: std_mpsc::Sender<()>,
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
                open,
            } => {
                let max = permits_max(&self.limits);
                let accepted =
                    net::connections(listener, Arc::clone(&permits), self.reporter.clone());
                let accepted = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(Handle::current())));
                let kept = keep_every_nth(accepted, others);
                self.serve(&shared, kept, self.no_more_accepted()).await;
                drop(open);
                let grace = self.grace().await;
                shared.stop_and_wake();
                // Once every permit has been returned, every connection is closed.
                let _ = timeout(grace, permits.acquire_many(max)).await;
                drop(over);
            }
            Source::HandedOver(receiver) => {
                drop(ready.send(Ok(Handle::current())));
                let handed_over = ReceiverStream::new(receiver)
                    .filter_map(|released| future::ready(released.try_map(net::take_over).ok()));
                // The stream ends with the acceptor's, unless that one is busy.
                let until = async {
                    self.grace().await;
                    sleep(HAND_OVER_TIMEOUT).await;
                };
                self.serve(&shared, handed_over, until).await;
                self.grace().await;
                shared.stop_and_wake();
            }
        }
        let mut phase = self.phase.clone();
        let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
    }

    // ANCHOR: shutdown
    /// Serves the connections of `accepted` until its end or `until`. They go on after that.
    async fn serve(
        &self,
        shared: &Rc<Shared>,
        accepted: impl Stream<Item = Accepted<Socket>>,
        until: impl Future<Output = ()>,
    ) {
        let connections = accepted
            .filter_map(|accepted| {
                // A panic of the observer costs only the connection that the event was about.
                let connection = panics::contain(|| Connection::new(accepted, shared));
                future::ready(connection.ok())
            })
            .take_until(until);
        match self.service.clone() {
            Serving::Poem(service) => write_poems(connections, service).await,
            Serving::Transforms(service) => answer_connections(connections, service).await,
            Serving::Library(service) => answer_connections(connections, service).await,
            Serving::Proxy(cache) => relay_poems(connections, cache).await,
        }
    }

    /// Waits until the server accepts no more.
    async fn no_more_accepted(&self) {
        let mut phase = self.phase.clone();
        let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
    }

    /// Waits until the server stops. Returns the grace of connections in flight.
    async fn grace(&self) -> Duration {
        let mut phase = self.phase.clone();
        let serving = |phase: &Phase| matches!(phase, Phase::Serving | Phase::Closed);
        let stopping = phase.wait_for(|phase| !serving(phase)).await;
        match stopping.as_deref() {
            Ok(Phase::Stopping { grace }) => *grace,
            _ => Duration::ZERO,
        }
    }
    // ANCHOR_END: shutdown
}

/// One permit for each connection that the whole server may hold (S16).
fn permits(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits_max(limits) as usize))
}

/// The number of permits: at most as many as one call can acquire and a semaphore holds on every platform.
fn permits_max(limits: &Limits) -> u32 {
    u32::try_from(limits.connections_max).map_or(u32::MAX >> 3, |max| max.min(u32::MAX >> 3))
}
