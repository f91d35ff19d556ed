//! What the processes of the programs say to each other. A connection hears nothing but its port, its timeout and
//! its supervisor's exit signal, so it has no messages.

use std::iter::Sum;
use std::net::SocketAddr;
use std::time::Duration;

use poetry::cancel::Target;
use poetry::{FetchFailure, Outcome};

use crate::net::Handed;
use crate::process::{Pid, Reply};
use crate::tree::Children;

/// To a connection supervisor.
pub enum ToConnections {
    /// This is the acceptor: it hands over sockets as far as it is told that there is room.
    Meet(Pid<ToAcceptor>),
    /// Serve this socket, the `number`th of the server, whose other end is `peer`.
    Serve {
        /// The socket.
        socket: Handed,
        /// Its place in the order of accepts, from 0.
        number: u64,
        /// The other end.
        peer: SocketAddr,
    },
    /// Stop: idle connections at once, the others when they are done or `grace` is over (S21).
    Drain {
        /// How long those in flight may take.
        grace: Duration,
        /// Told when all are gone.
        reply: Reply<Drained>,
    },
    /// Say what is supervised: `supervisor:which_children`.
    WhichChildren(Reply<Children>),
}

/// How a connection supervisor's connections ended in a shutdown: those that had something in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// They finished.
    pub finished: u64,
    /// The grace was over first.
    pub cut: u64,
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
pub enum ToAcceptor {
    /// The connection supervisor at `index` has room for `connections` more.
    Room {
        /// Which supervisor.
        index: usize,
        /// How many.
        connections: usize,
    },
}

/// To the process that fetches.
pub enum ToFetcher {
    /// A poet is done.
    Poem {
        /// Which request's.
        task: usize,
        /// What came of it.
        outcome: Outcome,
    },
    /// Stop fetching this.
    Cancel(Target),
}

/// To a poet.
pub enum ToPoet {
    /// Its poem was transformed, or not.
    Transformed(Result<String, FetchFailure>),
}
