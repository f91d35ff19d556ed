//! The contract: what a model must offer to be served, tested, measured and compared.
//!
//! It blocks, is object-safe and takes plain values, so that it favours no model and each owns its runtime. It is a
//! thin front: behind it every model has a native API, which is what its readers come for.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::counters::Counts;
use crate::error::{FetchError, FetchFailure};
use crate::event::{Clock, Observer};
use crate::limits::Limits;
use crate::service::Service;

/// A concurrency model: one way to write the same servers and clients.
pub trait Model: Send + Sync {
    /// The name it is chosen by, such as `callbacks`.
    fn name(&self) -> &'static str;

    /// Serves `service` on a bound `listener`, in threads of the model's own, until the returned server is shut
    /// down or dropped. Connections are accepted from the moment this returns.
    ///
    /// # Errors
    /// What the system refused while the server was set up.
    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>>;

    /// A client, to be used for any number of fetches.
    ///
    /// # Errors
    /// What the system refused while the client was set up.
    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>>;
}

/// A server that runs. Dropping it is a shutdown without grace.
pub trait Server: Send + Sync {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// What it has counted by now (S23).
    fn counters(&self) -> Counts;

    /// What a model can show of its inside while it runs, as text for a person: a supervision tree, for one.
    fn details(&self) -> Option<String> {
        None
    }

    /// Stops accepting at once, lets requests in flight finish for up to `grace`, closes the rest, and ends every
    /// thread of the server (S21). Blocks until then.
    fn shutdown(self: Box<Self>, grace: Duration) -> Summary;
}

/// A client that can be used again and again, by several threads at once.
pub trait Client: Send + Sync {
    /// Fetches all poems at once, as far as [`Limits::fetches_max`] allows, and transforms each as soon as it has
    /// arrived (S10–S15). Blocks until every request has its outcome; they come in the order of the requests.
    ///
    /// Events carry a request's index as their task. After `cancel`, what it names closes its socket at once (S14).
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome>;
}

/// What servers and clients are given besides their work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Reactors, arbiters or runtime workers. For threads it bounds nothing.
    pub threads: NonZeroUsize,
    /// The bounds.
    pub limits: Limits,
    /// What stamps events and measures elapsed time.
    pub clock: Clock,
}

impl Options {
    /// One thread and the default limits.
    pub fn new(clock: Clock) -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            limits: Limits::default(),
            clock,
        }
    }
}

/// What a server leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Connections with something in flight when the shutdown began, that finished.
    pub finished: u64,
    /// Connections with something in flight, closed because the grace was over.
    pub cut: u64,
    /// The last counts.
    pub counters: Counts,
}

/// Another program's address: as the user wrote it, and as it was resolved. A clone shares both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer(Arc<NamedAddresses>);

#[derive(Debug, PartialEq, Eq)]
struct NamedAddresses {
    name: String,
    addresses: Result<Vec<SocketAddr>, String>,
}

impl Peer {
    /// A peer by addresses that are tried in order.
    pub fn new(name: impl Into<String>, addresses: Vec<SocketAddr>) -> Self {
        Self(Arc::new(NamedAddresses {
            name: name.into(),
            addresses: Ok(addresses),
        }))
    }

    /// A peer whose name did not resolve, and why; it fails as a connection does (S10).
    pub fn unresolved(name: impl Into<String>, cause: impl Into<String>) -> Self {
        Self(Arc::new(NamedAddresses {
            name: name.into(),
            addresses: Err(cause.into()),
        }))
    }

    /// For messages: what the user wrote, or the address.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The addresses to try in order; at least one.
    ///
    /// # Errors
    /// Connection failed, if there is none.
    pub fn addresses(&self) -> Result<&[SocketAddr], FetchFailure> {
        let failed = |cause: &str| FetchFailure::ConnectionFailed {
            cause: cause.to_owned(),
        };
        match &self.0.addresses {
            Ok(addresses) if addresses.is_empty() => Err(failed("the name has no address")),
            Ok(addresses) => Ok(addresses),
            Err(cause) => Err(failed(cause)),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.to_string(), vec![address])
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One poem to fetch, and what to have done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// The poem server.
    pub peer: Peer,
    /// The transform to ask for as soon as the poem has arrived (S13).
    pub via: Option<Via>,
}

/// A transform, and the server that offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transform's name.
    pub transform: String,
    /// The transform server.
    pub peer: Peer,
}

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The poem, transformed if that succeeded, or why there is none.
    pub poem: Result<String, FetchError>,
    /// Why the transform failed, if it did: the poem is then the original (S13).
    pub transform_failure: Option<FetchError>,
    /// Bytes received from the poem server.
    pub bytes: u64,
    /// From the beginning of the connection to the end of it all.
    pub elapsed: Duration,
}
