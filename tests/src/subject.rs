//! The implementation under test: a model in this process, a command that is started for every case, or a server that runs
//! already.
//!
//! A subject states its features. A case that needs one more is skipped and says so; it never passes.

pub mod address;
pub mod command;
mod last_words;
pub mod process;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use poetry::{Client, Clock, Limits, Model, Options, Service};

use crate::case::{Case, Need, Role};
use crate::failure::{Check, During, Failure};
use crate::journal::Journal;
use crate::running::Server;
pub use address::Address;
pub use command::Command;

/// The implementation under test.
#[derive(Clone)]
pub enum Subject {
    /// A model, called through the contract. It has every feature, offloading if it says so.
    InProcess(InProcess),
    /// A command. It has the features that its template states.
    Command(Command),
    /// A server that runs already. It has few features.
    Address(Address),
}

/// A model, with a listener and a clock, which the contract leaves to its callers.
#[derive(Clone)]
pub struct InProcess {
    /// The model.
    pub model: &'static dyn Model,
    /// Binds a listener, as the model's programs do.
    pub listen: fn(SocketAddr) -> io::Result<TcpListener>,
    /// The clock for the times of events.
    pub clock: Clock,
    /// Whether it computes heavy requests elsewhere than in its connections' threads (S25).
    pub offloads: bool,
}

/// The arguments of a server of the subject.
pub(crate) struct ServerConfig {
    pub(crate) service: Service,
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
    pub(crate) address: SocketAddr,
    /// A listener that is already bound, to be used instead of binding `address`.
    pub(crate) listener: Option<TcpListener>,
    pub(crate) journal: Arc<Journal>,
    /// Whether the library must have no other poems than those of the service.
    pub(crate) whole_library: bool,
    /// The poem that a proxy is to serve, if it may come from any upstream server.
    pub(crate) proxied: Option<String>,
}

impl Subject {
    /// Returns the name for reports.
    pub fn name(&self) -> &str {
        match self {
            Self::InProcess(subject) => subject.model.name(),
            Self::Command(command) => command.name(),
            Self::Address(server) => server.name(),
        }
    }

    /// Returns whether the subject implements `role`.
    pub fn plays(&self, role: Role) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Command(command) => command.plays(role),
            Self::Address(server) => server.role() == role,
        }
    }

    /// Returns whether the subject has a feature.
    pub fn offers(&self, need: Need) -> bool {
        match self {
            Self::InProcess(subject) => need != Need::Offloading || subject.offloads,
            Self::Command(command) => command.offers(need),
            Self::Address(server) => server.offers(need),
        }
    }

    /// Returns the first feature that `case` needs and this subject does not have.
    pub fn lacks(&self, case: &Case) -> Option<&'static str> {
        if !self.plays(case.role) {
            return Some(case.role.name());
        }
        let lacking = case.needs.iter().find(|&&need| !self.offers(need));
        lacking.map(|need| need.name())
    }

    /// Returns the server that runs already, if it is one.
    pub(crate) fn running(&self) -> Option<&Address> {
        match self {
            Self::Address(server) => Some(server),
            Self::InProcess(_) | Self::Command(_) => None,
        }
    }

    /// Skips a case whose `needs` do not list a feature that it turns out to need.
    pub(crate) fn require(&self, need: Need) -> Check {
        match self.offers(need) {
            true => Ok(()),
            false => Err(Failure::Needs(need.name().to_owned())),
        }
    }

    /// Binds a listener before the server starts, so that clients can connect to it first.
    pub(crate) fn listen(&self, address: SocketAddr) -> Check<TcpListener> {
        match self {
            Self::InProcess(subject) => (subject.listen)(address).during("binding a listener"),
            Self::Command(_) | Self::Address(_) => {
                Err(Failure::Needs("a server in this process".to_owned()))
            }
        }
    }

    pub(crate) fn serve(&self, config: ServerConfig) -> Check<(SocketAddr, Server)> {
        if config.limits != Limits::default() {
            self.require(Need::Limits)?;
        }
        if config.threads != 1 {
            self.require(Need::Threads)?;
        }
        let (keep_alive, lab) = match &config.service {
            Service::Transform(service) => (service.keep_alive, service.lab.is_some()),
            Service::Library(service) => (service.keep_alive, false),
            Service::Poem(_) | Service::Proxy(_) => (false, false),
        };
        if keep_alive {
            self.require(Need::KeepAlive)?;
        }
        if lab {
            self.require(Need::Lab)?;
        }
        let is_told_where = matches!(self, Self::InProcess(_));
        if !is_told_where && config.address.ip() != Ipv4Addr::LOCALHOST {
            return Err(Failure::Needs("another address".to_owned()));
        }
        match self {
            Self::InProcess(subject) => subject.serve(config),
            Self::Command(command) => command.serve(&config),
            Self::Address(server) => server.serve(&config),
        }
    }

    pub(crate) fn client(&self, limits: Limits, threads: usize) -> Check<Box<dyn Client>> {
        match self {
            Self::InProcess(subject) => {
                let client = subject.model.client(&subject.options(limits, threads)?);
                client.during("setting up a client")
            }
            Self::Command(_) | Self::Address(_) => {
                Err(Failure::Needs("a client in this process".to_owned()))
            }
        }
    }

    /// Returns the clock for the times of its events. Only a model reports events, so the clock of others stands still.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::InProcess(subject) => subject.clock.clone(),
            Self::Command(_) | Self::Address(_) => Clock::stopped(),
        }
    }
}

impl InProcess {
    fn options(&self, limits: Limits, threads: usize) -> Check<Options> {
        Ok(Options {
            threads: threads
                .try_into()
                .during("converting the number of threads")?,
            limits,
            clock: self.clock.clone(),
        })
    }

    fn serve(&self, config: ServerConfig) -> Check<(SocketAddr, Server)> {
        let listener = match config.listener {
            Some(listener) => listener,
            None => (self.listen)(config.address).during("binding a listener")?,
        };
        let address = listener
            .local_addr()
            .during("reading the listener's address")?;
        let options = self.options(config.limits, config.threads)?;
        let server = self
            .model
            .serve(listener, config.service, &options, config.journal);
        let server = match server {
            // A model may lack a role, but then has no server of it at all.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Err(Failure::Needs("a server of this role".to_owned()));
            }
            server => server.during("starting the server")?,
        };
        crate::failure::equal("the server's address", &server.address(), &address)?;
        Ok((address, Server::InProcess(server)))
    }
}
