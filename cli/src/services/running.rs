//! One service of a file while it runs: a server for each of its addresses.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{Server, Summary};
use tracing::{info, warn};

use crate::config::{Flaw, ServiceConfig};
use crate::failure::Failure;
use crate::line_writer::LineWriter;
use crate::log::ServerLog;
use crate::metrics::Metrics;
use crate::poem_directory::Reloads;
use crate::resolve;
use crate::serve::{self, Chosen, Offer, announce};
use crate::stats::{self, ServiceCounts};

/// A service that runs.
pub(super) struct Running {
    config: ServiceConfig,
    role: &'static str,
    model: &'static str,
    servers: Vec<Box<dyn Server>>,
    log: Arc<ServerLog>,
    reloads: Option<Reloads>,
    /// Writers of the `Serving` lines.
    announced: Vec<LineWriter>,
}

impl Running {
    /// Starts a service: all its listeners are bound before its first server starts.
    ///
    /// # Errors
    /// The place in the file of what does not work. Nothing runs then.
    pub(super) fn start(config: ServiceConfig, metrics: &Metrics) -> Result<Self, Flaw> {
        let at = |key: &'static str| {
            let config = &config;
            move |failure: Failure| config.flaw(key, &failure)
        };
        let options = config.command.options(models::clock());
        let model = Chosen::by(config.command.server()).map_err(at("pool"))?;
        let offer = Offer::of(&config.command, &options.limits).map_err(at(config.subject()))?;
        let reloads = offer
            .directory
            .map(Reloads::start)
            .transpose()
            .map_err(at("role"))?;
        let listeners = config.listen.iter().map(|address| {
            let address = resolve::interface(&address.host, address.port, CONNECT_TIMEOUT)?;
            serve::bind(address)
        });
        let listeners = listeners
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(at("listen"))?;
        let log = Arc::new(ServerLog::new(&offer.service, Some(&config.name)));
        let (role, name) = (stats::role(&offer.service), model.name());
        let observer = metrics.beside(&config.name, role, name, log.clone());
        let servers = listeners.into_iter().map(|listener| {
            serve::start(
                &*model,
                listener,
                offer.service.clone(),
                &options,
                observer.clone(),
            )
        });
        let servers = servers
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(at("model"))?;
        let mut what = format!("{}: ", config.name).into_bytes();
        what.extend(offer.name);
        let announced = servers
            .iter()
            .map(|server| announce(&what, server.address(), model.name()));
        Ok(Self {
            announced: announced.collect(),
            config,
            role: stats::role_name(role),
            model: name,
            servers,
            log,
            reloads,
        })
    }

    /// Asks for another reading of a library's directory.
    pub(super) fn reload(&self) {
        self.reloads.iter().for_each(Reloads::ask);
    }

    /// Returns the counts of its servers.
    pub(super) fn counts(&self) -> Vec<ServiceCounts> {
        self.servers
            .iter()
            .map(|server| self.counts_of(&**server))
            .collect()
    }

    fn counts_of(&self, server: &dyn Server) -> ServiceCounts {
        ServiceCounts {
            service: self.config.name.clone(),
            role: self.role.to_owned(),
            model: self.model.to_owned(),
            address: server.address().to_string(),
            counts: server.counters(),
        }
    }

    /// Returns what its servers say about themselves, with the name of the service.
    pub(super) fn details(&self) -> Vec<(String, String)> {
        let details = self.servers.iter().filter_map(|server| {
            let name = format!("{} on {}", self.config.name, server.address());
            Some((name, server.details()?))
        });
        details.collect()
    }

    /// Stops its servers, all within one grace. Returns their last counts, and how many connections were cut.
    pub(super) fn stop(self) -> (Vec<ServiceCounts>, u64) {
        let (name, grace) = (self.config.name, self.config.command.server().grace);
        info!("stopping {name}: requests and poems in flight have {grace} s to finish");
        let addresses = self.servers.iter().map(|server| server.address());
        let addresses: Vec<_> = addresses.collect();
        let summaries = shutdown_together(self.servers, grace.0);
        self.log.finish();
        for stdout in &self.announced {
            stdout.finish();
        }
        let (mut finished, mut cut, mut counts) = (0, 0, Vec::new());
        for (address, summary) in addresses.iter().zip(summaries) {
            finished += summary.finished;
            cut += summary.cut;
            counts.push(ServiceCounts {
                service: name.clone(),
                role: self.role.to_owned(),
                model: self.model.to_owned(),
                address: address.to_string(),
                counts: summary.counters,
            });
        }
        match cut {
            0 => info!("stopped {name}: {finished} finished"),
            _ => warn!("stopped {name}: {finished} finished, {cut} cut"),
        }
        (counts, cut)
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
