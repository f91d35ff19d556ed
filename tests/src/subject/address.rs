//! A server that runs already. It cannot be restarted, given limits or told what to serve, so it is tested with what it has: a
//! case whose set-up asks for anything else is skipped.

use std::net::SocketAddr;

use poetry::{Library, Pace, Poem, Service};

use crate::case::{Need, Role};
use crate::failure::{Check, Failure};
use crate::running::Server;
use crate::subject::ServerConfig;

/// A running server of one role, and what is known about it.
#[derive(Debug, Clone)]
pub struct Address {
    name: String,
    address: SocketAddr,
    role: Role,
    poem: Option<Poem>,
    library: Option<Library>,
    keep_alive: bool,
}

impl Address {
    /// Describes a server of `role` at `address` that answers one request per connection.
    pub fn new(address: SocketAddr, role: Role) -> Self {
        Self {
            name: address.to_string(),
            address,
            role,
            poem: None,
            library: None,
            keep_alive: false,
        }
    }

    /// Says which poem a poem server or a proxy serves.
    #[must_use]
    pub fn serving(mut self, poem: Poem) -> Self {
        self.poem = Some(poem);
        self
    }

    /// Says which poems a library server serves. Those that do not fit a frame are left out, since they are refused.
    #[must_use]
    pub fn with_library(mut self, library: Library) -> Self {
        let mut poems = library.poems();
        poems.retain(|_, poem| poem.poem_bytes().len() <= poetry::limits::FRAME_BYTES_MAX);
        self.library = Some(Library::new(poems));
        self
    }

    /// Says that it answers any number of requests per connection.
    #[must_use]
    pub fn keeping_alive(mut self) -> Self {
        self.keep_alive = true;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its role.
    pub fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn poem(&self) -> Option<&Poem> {
        self.poem.as_ref()
    }

    pub(crate) fn library(&self) -> Option<&Library> {
        self.library.as_ref()
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    pub(crate) fn offers(&self, need: Need) -> bool {
        match need {
            Need::ManyConnections => true,
            Need::KeepAlive => self.keep_alive,
            Need::Counters
            | Need::Limits
            | Need::Signals
            | Need::Lab
            | Need::Events
            | Need::Threads
            | Need::Offloading => false,
        }
    }

    /// Returns its address if the server is what `config` describes.
    pub(crate) fn serve(&self, config: &ServerConfig) -> Check<(SocketAddr, Server)> {
        match &config.service {
            Service::Poem(service) if service.pace != Pace::Fast => needs("another pace"),
            Service::Poem(service) => self.serves_poem(&service.poem),
            Service::Transform(service) => self.answers_as_many(service.keep_alive),
            Service::Library(service) => {
                self.answers_as_many(service.keep_alive)?;
                self.serves_library(&service.library, config.whole_library)
            }
            Service::Proxy(service) if service.ttl.is_some() => needs("another time to live"),
            Service::Proxy(_) => match &config.proxied {
                Some(poem) => self.serves_poem(&Poem::from(poem.as_str())),
                None => needs("another upstream server"),
            },
        }?;
        Ok((self.address, Server::Running))
    }

    fn serves_poem(&self, wanted: &Poem) -> Check {
        match &self.poem {
            None => needs("the poem that is served"),
            Some(poem) if poem.as_bytes() != wanted.as_bytes() => needs("another poem"),
            Some(_) => Ok(()),
        }
    }

    fn serves_library(&self, wanted: &Library, whole: bool) -> Check {
        let wanted = wanted.poems();
        let own = self
            .library
            .as_ref()
            .map(Library::poems)
            .unwrap_or_default();
        let has = |(name, poem)| own.get(name) == Some(poem);
        match wanted.iter().all(has) && (!whole || wanted.len() == own.len()) {
            true => Ok(()),
            false if self.library.is_none() => needs("the library that is served"),
            false => needs("another library"),
        }
    }

    /// A server that keeps no connection alive lacks a feature, so it is not asked.
    fn answers_as_many(&self, keep_alive: bool) -> Check {
        match self.keep_alive && !keep_alive {
            true => needs("one request per connection"),
            false => Ok(()),
        }
    }
}

fn needs<T>(what: &str) -> Check<T> {
    Err(Failure::Needs(what.to_owned()))
}
