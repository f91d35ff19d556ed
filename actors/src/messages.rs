//! The messages of the programs' processes. Only the connections of a proxy have some; the others receive events of their
//! port, their timeout, and their supervisor's exit signal.

use std::iter::Sum;
use std::net::SocketAddr;
use std::time::Duration;

use poetry::cancel::Target;
use poetry::{FetchFailure, Outcome, Peer, Poem};

use crate::net::Handed;
use crate::process::{Pid, Reply};
use crate::tree::Children;

/// To a connection supervisor.
pub(crate) enum ToConnections {
    /// A new acceptor introduces itself: grant it room from now on.
    Meet(Pid<ToAcceptor>),
    /// Serve this socket, the `number`th connection of the server.
    Serve {
        socket: Handed,
        /// The connection's number in accept order, from 0.
        number: u64,
        peer: SocketAddr,
    },
    /// The server is about to stop accepting. Connections that end from now on had something in flight when the shutdown
    /// began (S21), or were accepted after this.
    Stopping,
    /// Close idle connections at once and the others when they finish or `grace` is over (S21). The reply comes when all
    /// are closed.
    Drain {
        grace: Duration,
        reply: Reply<Drained>,
    },
    /// List the children: `supervisor:which_children`.
    WhichChildren(Reply<Children>),
}

/// How the connections in flight ended during a shutdown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// They finished.
    pub(crate) finished: u64,
    /// They were killed when the grace was over.
    pub(crate) cut: u64,
}

impl Sum for Drained {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |all, part| Self {
            finished: all.finished + part.finished,
            cut: all.cut + part.cut,
        })
    }
}

/// To the acceptor.
pub(crate) enum ToAcceptor {
    /// The connection supervisor at `index` has room for `connections` more.
    Room { index: usize, connections: usize },
}

/// From a poet to the process that started it: how the fetch of one poem ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The number given to [`Me::fetch_with`](crate::Me::fetch_with); 0 after [`Me::fetch`](crate::Me::fetch).
    pub task: usize,
    /// The poem server.
    pub peer: Peer,
    /// The poem, or the error.
    pub outcome: Outcome,
}

/// To the process that fetches many poems.
pub(crate) enum ToFetcher {
    /// A poet is done.
    Fetched(Fetched),
    /// Cancel this task, or all of them.
    Cancel(Target),
}

impl From<Fetched> for ToFetcher {
    fn from(fetched: Fetched) -> Self {
        Self::Fetched(fetched)
    }
}

/// To the cache of a proxy (S9).
pub(crate) enum ToCache {
    /// A client asks for the poem. The cache sends it [`ToClient::Poem`] at once, or [`ToClient::Wait`] and later one of the
    /// other two.
    Get(Pid<ToClient>),
    /// A poet is done.
    Fetched(Fetched),
    /// List the children: the poet, if there is one.
    WhichChildren(Reply<Children>),
}

impl From<Fetched> for ToCache {
    fn from(fetched: Fetched) -> Self {
        Self::Fetched(fetched)
    }
}

/// To a connection of a proxy.
#[derive(Clone)]
pub(crate) enum ToClient {
    /// The poem is being fetched.
    Wait,
    /// The poem.
    Poem(Poem),
    /// The fetch has failed.
    NoPoem,
}

/// To a poet.
pub(crate) enum ToPoet {
    /// The transformed poem, or why there is none.
    Transformed(Result<String, FetchFailure>),
}
