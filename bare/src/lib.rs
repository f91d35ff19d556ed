//! Bare servers, the baselines of the four models: a loop on mio, a tokio task, an actix actor and a thread for each
//! connection, each as one writes it in an afternoon.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use poetry::{Service, TransformService};
//!
//! let listener = TcpListener::bind("127.0.0.1:10100")?;
//! bare::serve(bare::Kind::Threads, listener, Service::Transform(TransformService::default()))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! They answer good requests correctly. Like the tutorials that they follow, they have no deadlines, no limit on connections, no
//! lingering close and no orderly shutdown, and an error of a call ends the function that made it. FAULTS.md shows what that
//! costs. They use `poetry` for netstrings and for what each service answers, and no model.

mod actors;
mod cache;
pub mod command;
mod mio_loop;
mod reply;
mod tasks;
mod threads;

use std::io;
use std::net::TcpListener;

use poetry::Service;

use cache::Cache;

/// How a bare server waits for many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One loop over the events of mio; the baseline of `callbacks`.
    Mio,
    /// An actix actor for each connection; the baseline of `actors`.
    Actix,
    /// A tokio task for each connection, on tokio's default runtime with a thread for each core; the baseline of `streams`.
    Tokio,
    /// A thread for each connection; the baseline of `blocking`.
    Threads,
}

impl Kind {
    /// Every kind, in the order of the models whose baselines they are.
    pub const ALL: [Self; 4] = [Self::Mio, Self::Actix, Self::Tokio, Self::Threads];

    /// Returns the name that selects the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::Actix => "actix",
            Self::Tokio => "tokio",
            Self::Threads => "threads",
        }
    }

    /// Returns the name of the model whose baseline it is.
    pub const fn model(self) -> &'static str {
        match self {
            Self::Mio => "callbacks",
            Self::Actix => "actors",
            Self::Tokio => "streams",
            Self::Threads => "blocking",
        }
    }
}

/// Serves `service` on `listener`, in this thread and those that it starts, until an error ends the server.
///
/// # Errors
/// Returns the error of the accept that failed, or of a resource that the server needs to start.
pub fn serve(kind: Kind, listener: TcpListener, service: Service) -> io::Result<()> {
    match kind {
        Kind::Mio => mio_loop::serve(listener, service),
        Kind::Actix => actors::serve(listener, service),
        Kind::Tokio => tasks::serve(listener, service),
        Kind::Threads => threads::serve(listener, service),
    }
}
