//! The processes of a server, as in Erlang's Ranch: an acceptor, and for each arbiter a connection supervisor (O6). A
//! connection supervisor grants the acceptor room, starts a process for every connection, and grants no more room when there
//! are enough. The listener's [`Supervisor`](crate::Supervisor) restarts both.

mod acceptor;
mod connections;
mod server;

pub use server::RunningServer;
pub(crate) use server::{STOP_TIMEOUT, serve};

use std::sync::Arc;

use crate::ledger::{ConnectionContext, Ledger};
use crate::port::{Stream, Tcp};
use crate::process::Process;
use crate::supervisor::Spec;

/// A protocol that a server speaks.
pub(crate) trait Protocol: Clone + Send + 'static {
    /// The process of one connection.
    type Connection<S: Stream>: Process<Port = Tcp<S>>;

    /// Creates the process for an accepted connection.
    fn connection<S: Stream>(&self, ledger: Ledger) -> Self::Connection<S>;

    /// Returns how many arbiters the server has beside those of its connections.
    fn arbiters(&self) -> usize {
        0
    }

    /// Returns the children of the listener's supervisor that all connections share, if there are any. They run in the
    /// first arbiter, to which `context` belongs, and are started before the acceptor.
    fn shared(&self, context: &Arc<ConnectionContext>) -> Vec<Spec> {
        let _ = context;
        Vec::new()
    }
}
