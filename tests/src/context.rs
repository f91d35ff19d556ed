//! What a case is given: the subject's servers and clients, set up in a line, and seeded randomness.

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
use crate::subject::{Order, Subject};

/// What one run of one case works with.
#[derive(Clone)]
pub struct Context {
    subject: Arc<Subject>,
    seed: u64,
}

impl Context {
    /// The surroundings of a case about `subject`; what is random follows from `seed`.
    pub fn new(subject: Arc<Subject>, seed: u64) -> Self {
        Self { subject, seed }
    }

    /// The subject's name.
    pub fn subject(&self) -> &str {
        self.subject.name()
    }

    /// A source of numbers that is the same for the same seed.
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// A transform server that answers one request a connection, to be started.
    pub fn one_shot(&self) -> Setup {
        self.setup(Service::Transform(TransformService::default()))
    }

    /// A transform server that answers any number of requests a connection, to be started.
    pub fn keep_alive(&self) -> Setup {
        self.setup(Service::Transform(TransformService {
            keep_alive: true,
            lab: None,
        }))
    }

    /// A poem server that serves `poem` at once, to be started.
    pub fn poem(&self, poem: &str) -> Setup {
        self.poem_at(poem, Pace::Fast)
    }

    /// A poem server that serves `poem` in chunks, to be started.
    ///
    /// # Panics
    /// If a case asks for chunks of no bytes.
    pub fn slow_poem(&self, poem: &str, num_bytes: usize, delay: Duration) -> Setup {
        let num_bytes = NonZeroUsize::new(num_bytes).expect("chunks have bytes");
        self.poem_at(poem, Pace::Slow { num_bytes, delay })
    }

    fn poem_at(&self, poem: &str, pace: Pace) -> Setup {
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

    /// A client of the subject, with the default limits and one thread.
    ///
    /// # Errors
    /// It could not be set up, or the subject has none.
    pub fn client(&self) -> Check<Fetcher> {
        self.client_with(|_| {})
    }

    /// A client with other limits.
    ///
    /// # Errors
    /// It could not be set up, or the subject has none.
    pub fn client_with(&self, change: impl FnOnce(&mut Limits)) -> Check<Fetcher> {
        self.client_with_threads(1, change)
    }

    /// A client with other limits and `threads` threads.
    ///
    /// # Errors
    /// It could not be set up, or the subject has none.
    pub fn client_with_threads(
        &self,
        threads: usize,
        change: impl FnOnce(&mut Limits),
    ) -> Check<Fetcher> {
        let mut limits = Limits::default();
        change(&mut limits);
        Ok(Fetcher::new(self.subject.client(limits, threads)?))
    }

    /// The clock that the subject's events are stamped by.
    pub fn clock(&self) -> Clock {
        self.subject.clock()
    }
}

/// A server of the subject, to be started.
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
    /// With other limits.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// With so many threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// On another address than an ephemeral port of 127.0.0.1.
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

    /// Observed only as far as `interest` goes.
    pub fn observing(mut self, interest: Interest) -> Self {
        self.interest = interest;
        self
    }

    /// With the laboratory's transforms.
    pub fn lab(mut self) -> Self {
        if let Service::Transform(service) = &mut self.service {
            service.lab = Some(self.subject.clock());
        }
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It did not start, or the subject does not offer what it was asked for.
    pub fn start(self) -> Check<RunningServer> {
        let journal = Arc::new(Journal::of(self.interest));
        let (address, server) = self.subject.serve(Order {
            service: self.service,
            limits: self.limits,
            threads: self.threads,
            address: self.address,
            listener: self.listener,
            journal: Arc::clone(&journal),
        })?;
        let offers_counters = self.subject.offers(Need::Counters);
        Ok(RunningServer::new(
            address,
            server,
            journal,
            offers_counters,
        ))
    }
}
