//! The contract: what a model must offer to be served, tested, measured and compared.
//!
//! The contract blocks, is object-safe and takes plain values, so that it favours no model and each model owns its
//! runtime. It is a thin front: behind it every model has a native API, which is what its readers come for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::counters::Counts;
use crate::error::FetchError;
use crate::event::{Clock, Observer};
use crate::library::PoemName;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::service::Service;

// ANCHOR: model
/// A concurrency model: one way to write the same servers and clients.
pub trait Model: Send + Sync {
    /// Returns the name that selects the model, such as `callbacks`.
    fn name(&self) -> &'static str;

    /// Serves `service` on a bound `listener`, in threads of the model's own, until the returned server is shut
    /// down or dropped. It accepts connections from the moment this returns.
    ///
    /// A `listener` that is non-blocking may be used by others too, such as another process or the server that follows this
    /// one. It stays so, and is closed but never shut down: what waits in its backlog is theirs (S26).
    ///
    /// # Errors
    /// Fails if the system refuses a resource that the server needs to start, such as a thread.
    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>>;

    /// Creates a client that can be used for any number of fetches.
    ///
    /// # Errors
    /// Fails if the system refuses a resource that the client needs to start.
    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>>;
}
// ANCHOR_END: model

// ANCHOR: server
/// A running server. Dropping it shuts it down without grace.
pub trait Server: Send + Sync {
    /// Returns the address it listens on.
    fn address(&self) -> SocketAddr;

    /// Returns its counts up to now (S23).
    fn counters(&self) -> Counts;

    /// Returns a description of the running server for a person to read, such as a supervision tree, if the model
    /// has one.
    fn details(&self) -> Option<String> {
        None
    }

    /// Returns [`details`](Self::details) with ages and times left, for a view that is drawn again and again.
    fn live_details(&self) -> Option<String> {
        self.details()
    }

    /// Returns the names of the parts that the server starts again when they crash, such as supervised processes.
    fn parts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Crashes the part of this name, as a fault in it would, to show what is started again. Returns whether there is such a
    /// part.
    fn crash(&self, part: &str) -> bool {
        let _ = part;
        false
    }

    /// Stops accepting, and goes on serving the connections that are open as before, until [`shutdown`](Self::shutdown): another
    /// server can take over the listener (S26). Returns whether this model can do that; if not, nothing has changed.
    fn stop_accepting(&self) -> bool {
        false
    }

    /// Asks every thread or process that serves several connections to answer, and returns whether all did within `wait`: one that
    /// is stuck serves none of them.
    fn responds(&self, wait: Duration) -> bool {
        let _ = wait;
        true
    }

    /// Stops accepting at once, lets requests in flight finish for up to `grace`, closes the rest, and ends every
    /// thread of the server (S21). Blocks until then.
    fn shutdown(self: Box<Self>, grace: Duration) -> Summary;
}
// ANCHOR_END: server

/// A client that several threads can use, any number of times.
pub trait Client: Send + Sync {
    /// Fetches all poems at once, as far as [`Limits::fetches_max`] allows, and transforms each as soon as it has
    /// arrived (S10–S15). Blocks until every request has its outcome, and returns them in the order of the requests.
    ///
    /// An event's task is the index of its request. Cancelling a request closes its socket at once (S14).
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome>;
}

/// Settings that servers and clients share.
#[derive(Debug, Clone)]
pub struct Options {
    /// The number of reactors, arbiters or runtime workers. `blocking` ignores it.
    pub threads: NonZeroUsize,
    /// The bounds on connections, bytes and times.
    pub limits: Limits,
    /// The clock that stamps events and measures elapsed time.
    pub clock: Clock,
}

impl Options {
    /// Creates options with one thread and the default limits.
    pub fn new(clock: Clock) -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            limits: Limits::default(),
            clock,
        }
    }
}

/// How a server's shutdown ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Connections that had something in flight when the shutdown began and finished it.
    pub finished: u64,
    /// Connections that had something in flight and were closed when the grace ended.
    pub cut: u64,
    /// The final counts.
    pub counters: Counts,
}

/// One poem to fetch and, optionally, to transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// The poem server, or the library server.
    pub peer: Peer,
    /// The name of the poem in the peer's library (S8). If `None`, the peer serves one poem (S1).
    pub name: Option<PoemName>,
    /// The transform to request as soon as the poem has arrived (S13).
    pub via: Option<Via>,
}

impl FetchRequest {
    /// Requests the poem of a poem server, or of a proxy.
    pub fn new(peer: impl Into<Peer>) -> Self {
        Self {
            peer: peer.into(),
            name: None,
            via: None,
        }
    }

    /// Requests the poem called `name` from a library server.
    pub fn named(peer: impl Into<Peer>, name: PoemName) -> Self {
        Self {
            name: Some(name),
            ..Self::new(peer)
        }
    }

    /// Also requests a transform of the poem.
    #[must_use]
    pub fn via(self, via: Via) -> Self {
        Self {
            via: Some(via),
            ..self
        }
    }
}

/// A transform, and the server that offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transform's name.
    pub transform: String,
    /// The transform server.
    pub peer: Peer,
}

/// The result of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The poem, transformed if that succeeded, or why there is none.
    pub poem: Result<String, FetchError>,
    /// Why the transform failed, if it did; the poem is then the original (S13).
    pub transform_failure: Option<FetchError>,
    /// Bytes received from the poem server.
    pub bytes: u64,
    /// The time from the start of connecting to the end of the fetch and its transform.
    pub elapsed: Duration,
}
