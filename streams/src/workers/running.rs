//! A running server: its threads, seen from another one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use poetry::limits::OFFLOADED_MAX;
use poetry::{Counters, Counts, Observer, Options, Reporter, Service, Summary};
use tokio::sync::{Semaphore, watch};

use super::details::Parts;
use super::round_robin::channels;
use super::{OverOnDrop, Phase, Serving, Source, Worker, permits, permits_max};
use crate::shared::Stop;

/// A running server. Dropping it shuts it down without grace, which also blocks until its threads have ended.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
    stop: Arc<Stop>,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    parts: Parts,
    /// Disconnected when the listener is closed.
    listener: Mutex<std_mpsc::Receiver<()>>,
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
        let (open, closed) = std_mpsc::channel();
        let mut server = Self {
            listener: Mutex::new(closed),
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
            open,
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
            let serving = matches!(phase, Phase::Serving | Phase::Closed);
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

    fn stop_accepting(&self) -> bool {
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Closed;
            }
            serving
        });
        // Nothing is ever sent: this ends when the listener is dropped.
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = listener.recv();
        true
    }

    fn responds(&self, wait: Duration) -> bool {
        self.parts.respond(wait)
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
