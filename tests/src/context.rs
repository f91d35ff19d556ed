//! What a case works with: the subject's servers and clients, and seeded randomness.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Interest;
use poetry::{Clock, Limits, Pace, Poem, PoemService, Service, TransformService};

use crate::case::Need;
use crate::failure::{Check, During};
use crate::fetching::Fetcher;
use crate::journal::Journal;
use crate::running::RunningServer;
use crate::subject::{ServerConfig, Subject};

/// The context of one run of one case.
#[derive(Clone)]
pub struct Context {
    subject: Arc<Subject>,
    seed: u64,
}

impl Context {
    /// Creates the context of a case for `subject`; its randomness is derived from `seed`.
    pub fn new(subject: Arc<Subject>, seed: u64) -> Self {
        Self { subject, seed }
    }

    /// Returns the subject's name.
    pub fn subject(&self) -> &str {
        self.subject.name()
    }

    /// Returns a random number generator that starts from the seed.
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Prepares a transform server that answers one request per connection.
    pub fn one_shot(&self) -> Setup {
        self.setup(Service::Transform(TransformService::default()))
    }

    /// Prepares a transform server that answers any number of requests per connection.
    pub fn keep_alive(&self) -> Setup {
        self.setup(Service::Transform(TransformService {
            keep_alive: true,
            lab: None,
        }))
    }

    /// Prepares a poem server that serves `poem` at once.
    pub fn poem(&self, poem: &str) -> Setup {
        self.poem_with_pace(poem, Pace::Fast)
    }

    /// Prepares a poem server that serves `poem` in chunks.
    ///
    /// # Panics
    /// If `num_bytes` is 0.
    pub fn slow_poem(&self, poem: &str, num_bytes: usize, delay: Duration) -> Setup {
        let num_bytes = NonZeroUsize::new(num_bytes).expect("a chunk has at least one byte");
        self.poem_with_pace(poem, Pace::Slow { num_bytes, delay })
    }

    fn poem_with_pace(&self, poem: &str, pace: Pace) -> Setup {
        let poem = Poem::from(poem);
        self.setup(Service::Poem(PoemService { poem, pace }))
    }

    fn setup(&self, service: Service) -> Setup {
        Setup {
            subject: Arc::clone(&self.subject),
            service,
            limits: Limits::default(),
            threads: 1,
            address: ([127, 0, 0, 1], 0).into(),
            listener: None,
            interest: Interest::ALL,
        }
    }

    /// Creates a client of the subject with the default limits and one thread.
    ///
    /// # Errors
    /// The client could not be created, or the subject has none.
    pub fn client(&self) -> Check<Fetcher> {
        self.client_with(|_| {})
    }

    /// Creates a client with other limits.
    ///
    /// # Errors
    /// The client could not be created, or the subject has none.
    pub fn client_with(&self, change: impl FnOnce(&mut Limits)) -> Check<Fetcher> {
        self.client_with_threads(1, change)
    }

    /// Creates a client with other limits and `threads` threads.
    ///
    /// # Errors
    /// The client could not be created, or the subject has none.
    pub fn client_with_threads(
        &self,
        threads: usize,
        change: impl FnOnce(&mut Limits),
    ) -> Check<Fetcher> {
        let mut limits = Limits::default();
        change(&mut limits);
        Ok(Fetcher::new(self.subject.client(limits, threads)?))
    }

    /// Returns the clock for the times of the subject's events.
    pub fn clock(&self) -> Clock {
        self.subject.clock()
    }
}

/// A server of the subject that is not yet started.
#[must_use = "a setup does nothing until it is started"]
pub struct Setup {
    subject: Arc<Subject>,
    service: Service,
    limits: Limits,
    threads: usize,
    address: SocketAddr,
    listener: Option<TcpListener>,
    interest: Interest,
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

    /// Starts the server.
    ///
    /// # Errors
    /// It did not start, or the subject lacks a feature that the setup needs.
    pub fn start(self) -> Check<RunningServer> {
        let journal = Arc::new(Journal::new(self.interest));
        let (address, server) = self.subject.serve(ServerConfig {
            service: self.service,
            limits: self.limits,
            threads: self.threads,
            address: self.address,
            listener: self.listener,
            journal: Arc::clone(&journal),
        })?;
        let has_counters = self.subject.offers(Need::Counters);
        Ok(RunningServer::new(address, server, journal, has_counters))
    }
}
