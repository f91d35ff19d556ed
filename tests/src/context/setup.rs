//! A server of the subject that is not yet started: its service, limits, threads and address.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Interest;
use poetry::{Limits, Service};

use crate::case::Need;
use crate::failure::{Check, During};
use crate::fake_servers::{FakeServer, Serves};
use crate::gate::Gate;
use crate::journal::Journal;
use crate::running::RunningServer;
use crate::subject::{ServerConfig, Subject};

/// A server of the subject that is not yet started.
#[must_use = "a setup does nothing until it is started"]
pub struct Setup {
    pub(super) subject: Arc<Subject>,
    pub(super) service: Service,
    pub(super) limits: Limits,
    pub(super) threads: usize,
    pub(super) address: SocketAddr,
    pub(super) listener: Option<TcpListener>,
    pub(super) interest: Interest,
    /// The poem of the fake server that the proxy fetches from, if the set-up starts one.
    pub(super) upstream: Option<String>,
    /// Whether the library may have no other poems.
    pub(super) whole_library: bool,
}

impl Setup {
    /// Changes the limits.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets the number of threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the address; the default is an ephemeral port of 127.0.0.1.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Binds the listener now and returns its address: clients can connect and send before the server is started.
    ///
    /// # Errors
    /// The system has no port left, or the subject binds its listener itself.
    pub fn listening(mut self) -> Check<(Self, SocketAddr)> {
        let listener = self.subject.listen(self.address)?;
        let address = listener
            .local_addr()
            .during("reading a listener's address")?;
        self.listener = Some(listener);
        Ok((self, address))
    }

    /// Limits the reported events to `interest`.
    pub fn observing(mut self, interest: Interest) -> Self {
        self.interest = interest;
        self
    }

    /// Adds the lab transforms.
    pub fn lab(mut self) -> Self {
        if let Service::Transform(service) = &mut self.service {
            service.lab = Some(self.subject.clock());
        }
        self
    }

    /// Adds the lab transforms, has the heavy ones computed elsewhere (S25), and holds those at `gate`.
    pub(crate) fn offloading(mut self, gate: &Gate) -> Self {
        if let Service::Transform(service) = &mut self.service {
            service.lab = Some(gate.clock());
            service.offload = true;
        }
        self
    }

    /// Sets how long the proxy serves a poem after its arrival.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        if let Service::Proxy(service) = &mut self.service {
            service.ttl = Some(ttl);
        }
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// It did not start, or the subject lacks a feature that the setup needs.
    pub fn start(mut self) -> Check<RunningServer> {
        let journal = Arc::new(Journal::new(self.interest));
        let proxied = self.upstream.clone();
        let upstream = self.start_upstream()?;
        let library = match &self.service {
            Service::Library(service) => Some(service.library.clone()),
            _ => None,
        };
        let (address, server) = self.subject.serve(ServerConfig {
            service: self.service,
            limits: self.limits,
            threads: self.threads,
            address: self.address,
            listener: self.listener,
            journal: Arc::clone(&journal),
            whole_library: self.whole_library,
            proxied,
        })?;
        let has_counters = self.subject.offers(Need::Counters);
        let mut running = RunningServer::new(address, server, journal, has_counters);
        running.library = library;
        running.upstream = upstream;
        Ok(running)
    }

    fn start_upstream(&mut self) -> Check<Option<FakeServer>> {
        let Some(poem) = self.upstream.take() else {
            return Ok(None);
        };
        if self.subject.running().is_some() {
            return Ok(None);
        }
        let upstream = FakeServer::start(Serves(poem.into()))?;
        if let Service::Proxy(service) = &mut self.service {
            service.upstream = upstream.address().into();
        }
        Ok(Some(upstream))
    }
}
