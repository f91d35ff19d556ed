//! Who is tested: a model in this process, or a command that is started for every case.
//!
//! A subject says what it offers; where a case needs more, the case is skipped and says so. It never passes.

pub mod command;
pub mod process;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use poetry::{Client, Clock, Limits, Model, Options, Service};

use crate::case::{Case, Need, Role};
use crate::failure::{Check, During, Failure};
use crate::journal::Journal;
use crate::running::Server;
pub use command::Command;

/// Who is tested.
#[derive(Clone)]
pub enum Subject {
    /// A model, called through the contract: it offers everything.
    InProcess(InProcess),
    /// A command, started with what its template states: it offers that.
    Command(Command),
}

/// A model, and what it needs that is not the contract's: somebody who binds, and a clock.
#[derive(Clone)]
pub struct InProcess {
    /// The model.
    pub model: &'static dyn Model,
    /// Binds a listener, as the model's programs do.
    pub listen: fn(SocketAddr) -> io::Result<TcpListener>,
    /// Stamps events.
    pub clock: Clock,
}

/// What a server of the subject is started with.
pub(crate) struct Order {
    pub(crate) service: Service,
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
    pub(crate) address: SocketAddr,
    /// A listener that is bound already, instead of one at `address`.
    pub(crate) listener: Option<TcpListener>,
    pub(crate) journal: Arc<Journal>,
}

impl Subject {
    /// Its name in reports.
    pub fn name(&self) -> &str {
        match self {
            Self::InProcess(subject) => subject.model.name(),
            Self::Command(command) => command.name(),
        }
    }

    /// Whether it plays `role`.
    pub fn plays(&self, role: Role) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Command(command) => command.plays(role),
        }
    }

    /// Whether it offers what some cases need.
    pub fn offers(&self, need: Need) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Command(command) => command.offers(need),
        }
    }

    /// The first thing that `case` needs and this subject does not offer.
    pub fn lacks(&self, case: &Case) -> Option<&'static str> {
        if !self.plays(case.role) {
            return Some(case.role.name());
        }
        let lacking = case.needs.iter().find(|&&need| !self.offers(need));
        lacking.map(|need| need.name())
    }

    /// For cases that did not say what they need before: they are skipped all the same.
    pub(crate) fn must_offer(&self, need: Need) -> Check {
        match self.offers(need) {
            true => Ok(()),
            false => Err(Failure::Needs(need.name().to_owned())),
        }
    }

    /// Binds a listener before the server starts, so that clients can connect to it first.
    pub(crate) fn listen(&self, address: SocketAddr) -> Check<TcpListener> {
        match self {
            Self::InProcess(subject) => (subject.listen)(address).during("binding a listener"),
            Self::Command(_) => Err(Failure::Needs("a server in this process".to_owned())),
        }
    }

    pub(crate) fn serve(&self, order: Order) -> Check<(SocketAddr, Server)> {
        if order.limits != Limits::default() {
            self.must_offer(Need::Limits)?;
        }
        if order.threads != 1 {
            self.must_offer(Need::Threads)?;
        }
        if let Service::Transform(service) = &order.service {
            if service.keep_alive {
                self.must_offer(Need::KeepAlive)?;
            }
            if service.lab.is_some() {
                self.must_offer(Need::Lab)?;
            }
        }
        match self {
            Self::InProcess(subject) => subject.serve(order),
            Self::Command(command) => command.serve(&order),
        }
    }

    pub(crate) fn client(&self, limits: Limits, threads: usize) -> Check<Box<dyn Client>> {
        match self {
            Self::InProcess(subject) => {
                let client = subject.model.client(&subject.options(limits, threads)?);
                client.during("setting up a client")
            }
            Self::Command(_) => Err(Failure::Needs("a client in this process".to_owned())),
        }
    }

    /// The clock that stamps its events, which commands keep to themselves.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::InProcess(subject) => subject.clock.clone(),
            Self::Command(_) => Clock::stopped(),
        }
    }
}

impl InProcess {
    fn options(&self, limits: Limits, threads: usize) -> Check<Options> {
        Ok(Options {
            threads: threads.try_into().during("counting threads")?,
            limits,
            clock: self.clock.clone(),
        })
    }

    fn serve(&self, order: Order) -> Check<(SocketAddr, Server)> {
        let listener = match order.listener {
            Some(listener) => listener,
            None => (self.listen)(order.address).during("binding a listener")?,
        };
        let address = listener.local_addr().during("asking for an address")?;
        let options = self.options(order.limits, order.threads)?;
        let server = self
            .model
            .serve(listener, order.service, &options, order.journal);
        let server = server.during("starting the server")?;
        crate::failure::equal("the server's address", &server.address(), &address)?;
        Ok((address, Server::InProcess(server)))
    }
}
