//! What a case works with: the subject's servers and clients, and seeded randomness.

mod setup;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Interest;
use poetry::library::{FramedPoem, Library, Poems};
use poetry::{Clock, Counts, LibraryService, Limits, Pace, Peer, Poem, PoemService, ProxyService};
use poetry::{Service, TransformService};

use crate::case::Role;
use crate::exchanges::{Exchange, Exchanges};
use crate::failure::Check;
use crate::fetching::Fetcher;
use crate::subject::{Address, Subject};
pub use setup::Setup;

/// The context of one run of one case.
#[derive(Clone)]
pub struct Context {
    subject: Arc<Subject>,
    role: Role,
    seed: u64,
    exchanges: Arc<Exchanges>,
}

impl Context {
    /// Creates the context of a case that tests `subject` in `role`; its randomness is derived from `seed`.
    pub fn new(subject: Arc<Subject>, role: Role, seed: u64) -> Self {
        let own = subject.running().and_then(Address::library).cloned();
        Self {
            subject,
            role,
            seed,
            exchanges: Arc::new(Exchanges::new(role, own)),
        }
    }

    /// Returns the role under test.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the subject's name.
    pub fn subject(&self) -> &str {
        self.subject.name()
    }

    /// Returns a random number generator that starts from the seed.
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Returns the bytes of a request to the framed server under test: to [`Context::one_shot`] or [`Context::keep_alive`].
    /// The reply is `text` in upper case.
    ///
    /// # Panics
    /// If a library without this poem has already been set up.
    pub fn request(&self, text: &str) -> Vec<u8> {
        self.exchanges.request(text)
    }

    /// Returns a request to the framed server under test and its reply, where their bytes do not matter. The reply is `text` in
    /// upper case, or one of the poems of a library that is served already.
    ///
    /// # Panics
    /// If a library without this poem has already been set up.
    pub fn exchange(&self, text: &str) -> Exchange {
        self.exchanges.exchange(text)
    }

    /// Returns a request that the framed server under test refuses although it is one netstring.
    pub fn refused_request(&self) -> Vec<u8> {
        self.exchanges.refused_request()
    }

    /// Returns how many requests were refused for the reason of [`Context::refused_request`].
    pub fn refused(&self, counts: &Counts) -> u64 {
        self.exchanges.refused(counts)
    }

    /// Prepares the framed server under test for a case that sends one request per connection: as [`Context::one_shot`], unless
    /// it runs already and answers any number.
    pub fn framed(&self) -> Setup {
        let running = self.subject.running();
        self.framed_with(running.is_some_and(Address::keeps_alive))
    }

    /// Prepares the framed server under test: in the role of the library server a library with the requested poems, else a
    /// transform server. It answers one request per connection.
    pub fn one_shot(&self) -> Setup {
        self.framed_with(false)
    }

    /// Prepares the same as [`Context::one_shot`], but it answers any number of requests per connection.
    pub fn keep_alive(&self) -> Setup {
        self.framed_with(true)
    }

    fn framed_with(&self, keep_alive: bool) -> Setup {
        self.setup(match self.role {
            Role::LibraryServer => Service::Library(LibraryService {
                library: self.exchanges.serve(),
                keep_alive,
            }),
            _ => Service::Transform(TransformService {
                keep_alive,
                lab: None,
                offload: false,
            }),
        })
    }

    /// Prepares a library of these poems, each with its name, that answers one request per connection.
    ///
    /// # Panics
    /// If a name is not a poem's name.
    pub fn library(&self, poems: &[(&str, &str)]) -> Setup {
        self.library_with(poems, false)
    }

    /// Prepares the same as [`Context::library`], but it answers any number of requests per connection.
    ///
    /// # Panics
    /// If a name is not a poem's name.
    pub fn library_keep_alive(&self, poems: &[(&str, &str)]) -> Setup {
        self.library_with(poems, true)
    }

    fn library_with(&self, poems: &[(&str, &str)], keep_alive: bool) -> Setup {
        let library = Library::new(framed_poems(poems));
        let mut setup = self.setup(Service::Library(LibraryService {
            library,
            keep_alive,
        }));
        setup.whole_library = true;
        setup
    }

    /// Prepares a library of these poems, or the library that is served already, for requests that every library refuses.
    ///
    /// # Panics
    /// If a name is not a poem's name.
    pub fn any_library(&self, poems: &[(&str, &str)]) -> Setup {
        match self.subject.running() {
            Some(_) => self.framed(),
            None => self.library(poems),
        }
    }

    /// Returns whether the library under test is read from a directory. A poem over the frame limit is then skipped instead of
    /// refused (S8).
    pub fn reads_a_directory(&self) -> bool {
        !matches!(*self.subject, Subject::InProcess(_))
    }

    /// Prepares a proxy that caches the poem of the server at `upstream` for ever.
    pub fn proxy(&self, upstream: impl Into<Peer>) -> Setup {
        self.setup(Service::Proxy(ProxyService {
            upstream: upstream.into(),
            ttl: None,
        }))
    }

    /// Returns the poem for a case to which its bytes do not matter: that of a server that runs already, else `otherwise`.
    pub fn any_poem(&self, otherwise: String) -> String {
        let own = self.subject.running().and_then(Address::poem);
        own.map_or(otherwise, |poem| poem.as_str().to_owned())
    }

    /// Prepares a server of `poem` at once: in the role of the proxy a proxy of a fake server with this poem, else a poem
    /// server.
    pub fn poem(&self, poem: &str) -> Setup {
        if self.role != Role::Proxy {
            return self.poem_with_pace(poem, Pace::Fast);
        }
        let mut setup = self.proxy(Peer::unresolved("upstream", "not started"));
        setup.upstream = Some(poem.to_owned());
        setup
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
            upstream: None,
            whole_library: false,
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

/// Returns poems as a library holds them.
///
/// # Panics
/// If a name is not a poem's name.
pub(crate) fn framed_poems(poems: &[(&str, &str)]) -> Poems {
    let framed = |&(name, poem): &(&str, &str)| {
        let name = name.parse().expect("a poem's name");
        (name, FramedPoem::from(&Poem::from(poem)))
    };
    poems.iter().map(framed).collect()
}
