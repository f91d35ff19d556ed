//! Poetry servers and clients with threads and `std::net`: straight-line code, and a thread for everything that waits.
//!
//! ```
//! use std::net::TcpListener;
//! use blocking::{Pace, PoemService, TransformService, Via};
//!
//! let listen = || TcpListener::bind("127.0.0.1:0");
//! let poems = blocking::serve_poem(listen()?, PoemService { poem: "Ahoy!".into(), pace: Pace::Fast })?;
//! let transforms = blocking::serve_transforms(listen()?, TransformService::default())?;
//!
//! let poem = blocking::get_poetry(poems.address())?;
//! let via = Via { transform: "shout".into(), peer: transforms.address().into() };
//! assert_eq!(blocking::transform(&via, &poem)?.as_str(), "AHOY!");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What to use when
//!
//! | for | use |
//! |---|---|
//! | one poem | [`get_poetry`]; of a library [`get_poetry_named`]; have it transformed with [`transform`] |
//! | many poems at once, events, or cancelling from another thread | a [`PoemClient`], with a [`Cancel`] |
//! | a server with a thread for each connection | [`serve_poem`], [`serve_transforms`], [`serve_library`], [`serve_proxy`] |
//! | a server with few threads and a queue | the `pool` of the functions that end in `_with`; as many slow clients as threads then delay all others |
//! | limits and an observer of events | the functions that end in `_with` |
//!
//! # What is promised
//!
//! The numbers name rules in SEMANTICS.md, and each rule has a test.
//!
//! - The number of threads is bounded. If none can be started, connections wait in the backlog (T1).
//! - Every call that blocks ends by a deadline, or a shutdown or a cancel wakes it; no thread polls a flag (T2).
//! - No thread outlives its server's shutdown or its client's fetch, and a poisoned lock takes no server down (T3).
//! - A panic costs one connection, and the replies before it are delivered (S20). A peer that does not read is not read from (S5).
//!   Every connection ends by a deadline (S18), and a shutdown by its grace (S21).
//!
//! # The sources
//!
//! The life of a connection is one function that reads, answers, writes and returns why it closes: `Session::run` in
//! `transform_server.rs` and `library_server.rs`, `write_poem` in `poem_server.rs`, `wait` in `proxy.rs`. The thread that calls
//! it has accepted the connection itself, in `Inner::work` of `workers.rs`. A fetch is one function too: `fetch_poem` in
//! `poem_client.rs`. The other files bound the threads, give every blocking call a way out, and end all threads with their
//! server:
//!
//! | file | contents |
//! |---|---|
//! | `workers`, `pool` | threads that accept and serve: one for each connection, or a fixed number |
//! | `server`, `server_state`, `open_connections`, `shutdown_state` | the running server, and a shutdown that wakes every thread |
//! | `connection`, `ledger`, `buffers` | a connection, owned by its thread; its counts and events; its read buffer |
//! | `proxy/` | the cache, where its clients wait, and the second thread of each |
//! | `requests`, `exchange` | what the two netstring servers share, and what the two netstring clients share |
//! | `deadlines` | deadlines over calls that only have timeouts |
//! | `fetching`, `context`, `sockets`, `descriptors` | many fetches in scoped threads; the bounds and the cancel of each |
//! | `net`, `listener`, `door`, `memory` | the real socket and clock, and where connections come from; the first two in memory, for tests |
//! | `pace`, `permits` | tuning, one call each: how fast threads are spawned, and how many |
//!
//! # Gains and costs
//!
//! **What threads give**: code that reads from top to bottom, with `?` for errors, and pre-emption. A request that
//! computes for ten milliseconds delays no other connection while a core is free, and no code has to yield for that: where the
//! other models offload heavy requests (S25), here the thread is the remedy.
//!
//! **What they cost**: sleeping and being woken, which takes longer than answering a request, and memory, 12 kB for an
//! idle connection. MEASURING.md has the figures. And a thread waits for one thing at a time. `poem_server.rs` shows how it
//! discards what the client sends while it waits until the next chunk is due. In `proxy.rs` a client that waits for the fetch
//! has two threads: one waits on a condition variable, the other in `recv`, so that it notices when the client leaves.
//!
//! The functions that end in `_with` take limits, an observer of events, and (the clients) a [`Cancel`]; [`PoemClient`]
//! has an example of all three. The `examples/` are seven steps from the tutorial's first client to [`PoemClient`], and three
//! servers (README.md lists them). They run without arguments, such as `cargo run -p quatrain-blocking --example
//! blocking_01_one_after_another`. Numbers such as S5 and T1 name rules in SEMANTICS.md.

mod buffers;
mod connection;
mod context;
mod deadlines;
mod descriptors;
mod door;
mod exchange;
mod fetching;
mod ledger;
mod library_server;
mod listener;
#[cfg(test)]
mod memory;
mod net;
mod open_connections;
mod pace;
mod permits;
mod poem_client;
mod poem_server;
mod pool;
mod proxy;
mod requests;
mod server;
mod server_state;
mod shutdown_state;
#[cfg(test)]
mod simulation;
mod sockets;
mod transform_client;
mod transform_server;
mod workers;

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use poetry::{Client, Clock, Model, Server, Service};

pub use poetry::event::{Interest, Unobserved};
pub use poetry::{Cancel, Counts, Event, FetchError, FetchFailure, FetchRequest, FramedPoem, Kind};
pub use poetry::{Library, LibraryService, Limits, Observer, Options, Outcome, Pace, Peer, Poem};
pub use poetry::{PoemName, PoemService, ProxyService, Summary};
pub use poetry::{TransformService, Via};

pub use library_server::{serve_library, serve_library_with};
pub use poem_client::{PoemClient, get_poetry, get_poetry_with};
pub use poem_client::{get_poetry_named, get_poetry_named_with};
pub use poem_server::{serve_poem, serve_poem_with};
pub use proxy::{serve_proxy, serve_proxy_with};
pub use server::RunningServer;
pub use transform_client::{transform, transform_with};
pub use transform_server::{serve_transforms, serve_transforms_with};

/// The name that selects this model.
pub const NAME: &str = "blocking";

/// Returns the options that the functions without `_with` use: the default limits, and the system's monotonic clock.
pub fn default_options() -> Options {
    Options::new(Clock::new(net::now))
}

/// The model: a thread for each connection, and a second one for each client that waits for a proxy's fetch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocking {
    /// If set, this fixed number of threads serves the connections, and one more accepts them. A connection then waits in
    /// a queue until a thread has served an earlier one to its end.
    pub pool: Option<NonZeroUsize>,
}

impl Blocking {
    /// A thread for each connection.
    pub const NEW: Self = Self { pool: None };
}

impl Model for Blocking {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        let pool = self.pool;
        let server = match service {
            Service::Poem(service) => serve_poem_with(listener, service, pool, options, observer),
            Service::Transform(service) => {
                serve_transforms_with(listener, service, pool, options, observer)
            }
            Service::Library(service) => {
                serve_library_with(listener, service, pool, options, observer)
            }
            Service::Proxy(service) => serve_proxy_with(listener, service, pool, options, observer),
        }?;
        Ok(Box::new(server))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(PoemClient::new(options)))
    }
}
