//! One service of a file while it runs: a server for each of its listeners. Its listeners are kept beside, so that another server can
//! take them over without a client being refused.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{Options, Poem, Server, Service, Summary};
use tracing::{info, warn};

use crate::config::{Flaw, ServiceConfig};
use crate::failure::{Failure, cause};
use crate::line_writer::LineWriter;
use crate::log::ServerLog;
use crate::metrics::Metrics;
use crate::passed_sockets::PassedSockets;
use crate::poem_directory::PoemDirectory;
use crate::resolve;
use crate::serve::{self, Chosen, Offer, announce};
use crate::stats::{self, ServiceCounts};

/// A listener that is kept, and how the file names it.
#[derive(Debug)]
pub(super) struct Kept {
    name: String,
    listener: TcpListener,
}

impl Kept {
    /// Whether the file leaves its port to the system.
    pub(super) fn has_free_port(&self) -> bool {
        self.name.ends_with(":0")
    }

    /// Returns another handle of it.
    pub(super) fn again(&self) -> Result<Self, Failure> {
        let (name, listener) = (self.name.clone(), shared(&self.listener)?);
        Ok(Self { name, listener })
    }
}

/// A service that is about to run: what it serves has been read, and its listeners are bound.
pub(super) struct Prepared {
    config: ServiceConfig,
    options: Options,
    model: Chosen,
    offer: Offer,
    kept: Vec<Kept>,
}

impl Prepared {
    /// Reads what a service serves, and binds its listeners, except those among `kept` that it has the names of.
    ///
    /// # Errors
    /// The place in the file of what does not work.
    pub(super) fn new(
        config: ServiceConfig,
        sockets: &PassedSockets,
        mut kept: Vec<Kept>,
    ) -> Result<Self, Flaw> {
        let at = |key: &'static str| {
            let config = &config;
            move |failure: Failure| config.flaw(key, &failure)
        };
        let options = config.command.options(models::clock());
        let model = Chosen::by(config.command.server()).map_err(at("pool"))?;
        let offer = Offer::of(&config.command, &options.limits).map_err(at(config.subject()))?;
        let kept = match config.socket() {
            Some(name) => {
                let listeners = sockets.listeners(name).map_err(at("socket"))?;
                let named = |listener| Kept {
                    name: format!("socket {name}"),
                    listener,
                };
                listeners.into_iter().map(named).collect()
            }
            None => {
                let listen = config.listen.iter().map(|address| {
                    let name = address.to_string();
                    if let Some(found) = kept.iter().position(|kept| kept.name == name) {
                        return Ok(kept.swap_remove(found));
                    }
                    let at = resolve::interface(&address.host, address.port, CONNECT_TIMEOUT)?;
                    let listener = shared(&serve::bind(at)?)?;
                    Ok(Kept { name, listener })
                });
                listen.collect::<Result<_, _>>().map_err(at("listen"))?
            }
        };
        Ok(Self {
            config,
            options,
            model,
            offer,
            kept,
        })
    }

    /// Returns the poem, if it serves one.
    pub(super) fn poem(&self) -> Option<&Poem> {
        match &self.offer.service {
            Service::Poem(service) => Some(&service.poem),
            _ => None,
        }
    }

    /// Starts the servers.
    ///
    /// # Errors
    /// The service's place in the file. No server of it runs then.
    pub(super) fn start(self, metrics: &Metrics) -> Result<Running, Flaw> {
        let poem = self.poem().cloned();
        let Self {
            config,
            options,
            model,
            offer,
            kept,
        } = self;
        let log = Arc::new(ServerLog::new(&offer.service, Some(&config.name)));
        let (role, name) = (stats::role(&offer.service), model.name());
        let observer = metrics.beside(&config.name, role, name, log.clone());
        let servers = kept.iter().map(|kept| {
            let listener = shared(&kept.listener)?;
            let (service, observer) = (offer.service.clone(), observer.clone());
            serve::start(&*model, listener, service, &options, observer)
        });
        let servers = servers.collect::<Result<Vec<_>, Failure>>();
        let servers = servers.map_err(|failure| config.flaw("model", &failure))?;
        let mut what = format!("{}: ", config.name).into_bytes();
        what.extend(offer.name);
        let announced = servers
            .iter()
            .map(|server| announce(&what, server.address(), model.name()));
        Ok(Running {
            announced: announced.collect(),
            config,
            role: stats::role_name(role),
            model: name,
            kept: Mutex::new(kept),
            poem,
            directory: Mutex::new(offer.directory),
            servers: Mutex::new(servers),
            log,
        })
    }
}

/// Returns a handle of a listener that a server and this process use.
fn shared(listener: &TcpListener) -> Result<TcpListener, Failure> {
    models::share(listener).map_err(|error| {
        let cause = cause(&error);
        Failure::new(format_args!("cannot keep a listener: {cause}"))
    })
}

/// A service that runs, or that has been replaced and still has connections.
pub(super) struct Running {
    pub(super) config: ServiceConfig,
    role: &'static str,
    model: &'static str,
    /// Empty once it accepts no more: who connects then is refused, or served by its successor.
    kept: Mutex<Vec<Kept>>,
    poem: Option<Poem>,
    directory: Mutex<Option<PoemDirectory>>,
    /// Empty once it has stopped.
    servers: Mutex<Vec<Box<dyn Server>>>,
    log: Arc<ServerLog>,
    /// Writers of the `Serving` lines.
    announced: Vec<LineWriter>,
}

impl Running {
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Returns whether `new` serves the same poem, if it is of that role.
    pub(super) fn has_poem_of(&self, new: &Prepared) -> bool {
        self.poem.as_ref() == new.poem()
    }

    /// Reads a library's directory again.
    pub(super) fn reload(&self) {
        let mut directory = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        directory.iter_mut().for_each(PoemDirectory::reload);
    }

    /// Returns other handles of its listeners.
    pub(super) fn kept_again(&self) -> Result<Vec<Kept>, Failure> {
        self.kept().iter().map(Kept::again).collect()
    }

    /// Stops accepting; what is connected is served as before. Returns whether its model can do that.
    pub(super) fn stop_accepting(&self) -> bool {
        let stopped = self.servers().iter().all(|server| server.stop_accepting());
        if stopped {
            self.kept().clear();
        }
        stopped
    }

    /// Returns how many connections it has.
    pub(super) fn open(&self) -> u64 {
        let servers = self.servers();
        servers.iter().map(|server| server.counters().open).sum()
    }

    /// Returns whether all its servers respond until `deadline`.
    pub(super) fn responds(&self, deadline: Instant) -> bool {
        let left = || deadline.saturating_duration_since(Instant::now());
        self.servers().iter().all(|server| server.responds(left()))
    }

    /// Returns the counts of its servers.
    pub(super) fn counts(&self) -> Vec<ServiceCounts> {
        let servers = self.servers();
        let counts = servers
            .iter()
            .map(|server| self.counts_at(server.address(), server.counters()));
        counts.collect()
    }

    fn counts_at(&self, address: SocketAddr, counts: poetry::Counts) -> ServiceCounts {
        ServiceCounts {
            service: self.config.name.clone(),
            role: self.role.to_owned(),
            model: self.model.to_owned(),
            address: address.to_string(),
            counts,
        }
    }

    /// Returns what its servers say about themselves, each after a line with the name of the service.
    pub(super) fn details(&self) -> Vec<String> {
        let servers = self.servers();
        let details = servers.iter().filter_map(|server| {
            let (name, address) = (&self.config.name, server.address());
            let details = server.details()?;
            Some(format!("{name} on {address}:\n{}", details.trim_end()))
        });
        details.collect()
    }

    /// Stops its servers, all within one grace. Returns their last counts, and how many connections were cut.
    pub(super) fn stop(&self) -> (Vec<ServiceCounts>, u64) {
        let (name, grace) = (self.name(), self.config.command.server().grace);
        info!("stopping {name}: requests and poems in flight have {grace} s to finish");
        self.kept().clear();
        let servers = std::mem::take(&mut *self.servers());
        let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
        let summaries = shutdown_together(servers, grace.0);
        self.log.finish();
        for stdout in &self.announced {
            stdout.finish();
        }
        let (mut finished, mut cut, mut counts) = (0, 0, Vec::new());
        for (address, summary) in addresses.into_iter().zip(summaries) {
            finished += summary.finished;
            cut += summary.cut;
            counts.push(self.counts_at(address, summary.counters));
        }
        match cut {
            0 => info!("stopped {name}: {finished} finished"),
            _ => warn!("stopped {name}: {finished} finished, {cut} cut"),
        }
        (counts, cut)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lists are valid after every statement, so a poisoned lock does no harm.
    fn servers(&self) -> MutexGuard<'_, Vec<Box<dyn Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shuts all servers down at once. Where the system starts no further thread, a server is shut down after the others.
fn shutdown_together(servers: Vec<Box<dyn Server>>, grace: Duration) -> Vec<Summary> {
    let slots: Vec<_> = servers
        .into_iter()
        .map(|server| Mutex::new(Some(server)))
        .collect();
    let shutdown = |slot: &Mutex<Option<Box<dyn Server>>>| {
        let server = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        server.map(|server| server.shutdown(grace))
    };
    thread::scope(|scope| {
        let start = |slot| {
            let named = thread::Builder::new().name("stopping".to_owned());
            named.spawn_scoped(scope, move || shutdown(slot))
        };
        let (first, others) = match slots.split_first() {
            Some(split) => split,
            None => return Vec::new(),
        };
        let threads: Vec<_> = others.iter().map(|slot| (slot, start(slot))).collect();
        let mut summaries = vec![shutdown(first).unwrap_or_default()];
        for (slot, thread) in threads {
            let summary = match thread {
                Ok(thread) => thread.join().ok().flatten(),
                Err(_) => shutdown(slot),
            };
            summaries.push(summary.unwrap_or_default());
        }
        summaries
    })
}
