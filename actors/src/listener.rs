//! The processes of a server, as in Erlang's Ranch: an acceptor, and for each arbiter a connection supervisor (O6). A
//! connection supervisor grants the acceptor room, starts a process for every connection, and grants no more room when there
//! are enough. The listener's [`Supervisor`](crate::Supervisor) restarts both.

mod acceptor;
mod connections;
mod server;

pub use server::RunningServer;
pub(crate) use server::serve;

use std::convert::Infallible;

use crate::ledger::Ledger;
use crate::port::{Stream, Tcp};
use crate::process::Process;

/// A protocol that a server speaks.
pub(crate) trait Protocol: Clone + Send + 'static {
    /// The process of one connection.
    type Connection<S: Stream>: Process<Message = Infallible, Port = Tcp<S>>;

    /// Creates the process for an accepted connection.
    fn connection<S: Stream>(&self, ledger: Ledger) -> Self::Connection<S>;
}
