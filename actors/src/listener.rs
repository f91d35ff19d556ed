//! A listener's processes, in the shape that Ranch gave them: an acceptor, and for each arbiter a connection
//! supervisor that starts a process for every connection and holds the acceptor back when there are enough (O6).
//!
//! ```text
//! listener ─┬─ connections-0 ─┬─ connection-0
//!           │                 └─ connection-2 …
//!           ├─ connections-1 ─── connection-1 …
//!           └─ acceptor
//! ```

mod acceptor;
mod connections;
mod server;

pub use server::Serve;
pub(crate) use server::serve;

use std::convert::Infallible;

use crate::ledger::Ledger;
use crate::port::{Stream, Tcp};
use crate::process::Process;

/// What is spoken on a connection.
pub(crate) trait Protocol: Clone + Send + 'static {
    /// The process that speaks it.
    type Connection<S: Stream>: Process<Message = Infallible, Port = Tcp<S>>;

    /// A process for a connection that has just been accepted.
    fn connection<S: Stream>(&self, ledger: Ledger) -> Self::Connection<S>;
}
