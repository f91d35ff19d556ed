//! Lazy async streams: a poem is a stream, and its bytes are read only when the next chunk is asked for.
//!
//! ```
//! use std::net::TcpListener;
//! use futures::{StreamExt, TryStreamExt};
//! use streams::{Pace, PoemService};
//!
//! let poem = "The title\nand the rest of the poem\n".into();
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let server = streams::serve_poem(listener, PoemService { poem, pace: Pace::Fast })?;
//!
//! let mut lines = streams::lines(streams::poem(server.address())).take(1); // not even connected yet
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let title = runtime.block_on(lines.try_next())?; // connects, and reads until one line has come
//! assert_eq!(title.as_deref(), Some("The title"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`get_poetry`] reads a whole poem, [`joins`] many, [`poem_named`] one of a library ([`serve_library`]), and [`transform`]
//! has one transformed. [`serve_proxy`] fetches a poem once for any number of clients. The examples `streams_01_whole` to
//! `streams_07_transformed` differ by a few lines each; `streams_08_codec_server`, `streams_09_library` and `streams_10_proxy`
//! are servers.
//!
//! # What to use when
//!
//! | for | use |
//! |---|---|
//! | a whole poem | [`get_poetry`]; of a library [`get_poetry_named`] |
//! | a poem as it comes, or a part of it | [`poem`], a stream of chunks; [`lines()`] of it; then `take`, `map` and the like |
//! | many poems, at once or one after another | [`joins`], whose names tell in which order items come |
//! | a poem transformed, or else the original | [`transform`], and what [`Streams`]' client does with a `via` |
//! | bounds on a stream of your own | [`chunks`]: idle timeouts, total deadlines, lengths |
//! | events of fetches, or cancelling from another thread | the client of [`Streams`], with a [`Cancel`] |
//! | a server without a runtime of your own | [`serve_poem`], [`serve_transforms`], [`serve_library`], [`serve_proxy`] |
//!
//! # What is promised
//!
//! The numbers name rules in SEMANTICS.md, and each rule has a test.
//!
//! - Building a stream does nothing (L1). Without polls, it reads at most one read buffer beyond the socket's own (L2).
//! - What can be streamed is never collected (L3). An error is an item, and the last one; dropping a stream cancels it (L4).
//! - A slow sink slows its source: a peer that does not read is not read from (L5, S5).
//! - A panic is the end of one stream of replies, and those before it are delivered (S20). One that pipelines has its turns between
//!   those of others (S24). Every connection ends by a deadline (S18), and a shutdown by its grace (S21).
//!
//! # Limits, events and cancelling
//!
//! Each client and server has a variant `…_with` that takes [`Limits`], for a server within its [`Options`]. A stream
//! or future is cancelled by dropping it, which closes its socket at once; so `tokio::time::timeout` cancels it too.
//! Servers report events to an [`Observer`]. Clients report none, except the one of [`Streams`], whose
//! fetches can also be cancelled from another thread ([`Cancel`]).
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use streams::{Clock, Event, Interest, Limits, Observer, Options, TransformService};
//!
//! struct Printed;
//!
//! impl Observer for Printed {
//!     fn interest(&self) -> Interest { Interest::ANSWERED | Interest::TROUBLE }
//!     fn observe(&self, event: &Event) { println!("{:?} {:?}", event.at, event.kind); }
//! }
//!
//! let start = Instant::now();
//! let options = Options::new(Clock::new(move || start.elapsed()));
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let service = TransformService::default();
//! let server = streams::serve_transforms_with(listener, service, &options, Arc::new(Printed))?;
//!
//! let limits = Limits { total_deadline: Some(Duration::from_secs(5)), ..Limits::default() };
//! let shout = streams::transform_with(server.address(), "shout", "Ahoy!", &limits);
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! assert_eq!(runtime.block_on(shout)?.as_str(), "AHOY!");
//!
//! let summary = server.shutdown(Duration::from_secs(1));
//! assert_eq!(summary.counters.answered, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The sources
//!
//! A server is a stream of connections, each a stream of requests into a sink of replies (L5). To follow one request,
//! read `transform_server.rs` (the pipeline), `answers.rs` (requests in) and `writing.rs` (replies out). Each worker is
//! a thread with a runtime of its own, so connections share their state without locks. Rules such as L5 are in
//! SEMANTICS.md.
//!
//! | file | contents | rules |
//! |---|---|---|
//! | `poem_client.rs`, `transform_client.rs` | poems as streams of chunks; transforms and their fallback | L1–L4, S10–S15 |
//! | `library_client.rs` | a named poem as a stream of chunks | L1–L4, S8 |
//! | `exchange.rs` | what these two share: a request on its way, and its reply as a stream of chunks | L2, S8, S13 |
//! | `chunks.rs`, `lines.rs`, `joins.rs` | adaptors: bounds, lines, many poems | L3, S12, S15 |
//! | `transform_server.rs`, `answers.rs`, `replies.rs`, `writing.rs` | the path of a request | L5, S2–S6, S18 |
//! | `offloading.rs` | a heavy request, answered in a thread for blocking work | S25, L1 |
//! | `library_server.rs` | poems by name, on the same path | S8 |
//! | `buffer.rs`, `ending.rs` | a thread's buffers; why a connection ends early | S4, S20, L4 |
//! | `poem_server.rs` | poems at their pace | S1 |
//! | `proxy.rs`, `proxy/cache.rs` | one fetch for many clients, cancelled with the last of them | S9 |
//! | `turns.rs`, `deadlines.rs`, `linger.rs` | turns, timeouts, the lingering close | S24, S18, S7 |
//! | `workers.rs`, `connection.rs`, `shared.rs` | threads, connections and their shared state | S16, S20–S23 |
//! | `fetcher.rs`, `fetch.rs` | the client of [`Streams`]: many fetches, their events, cancelling | S10, S14 |
//! | `net.rs`, `yielding.rs`, `descriptors.rs` | accepting and connecting; a client's sockets yield, and wait for descriptors | S15–S17, L3 |
//!
//! Only `net.rs` names sockets. The rest takes any byte stream and tokio's clock, so tests run in memory and on virtual
//! time.

mod answers;
mod buffer;
pub mod chunks;
mod connection;
mod deadlines;
mod descriptors;
mod dialling;
mod ending;
mod exchange;
mod fetch;
mod fetcher;
pub mod joins;
mod library_client;
mod library_server;
mod lines;
mod linger;
mod net;
mod offloading;
mod poem_client;
mod poem_server;
mod proxy;
mod replies;
mod shared;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
mod transform_client;
mod transform_server;
mod turns;
mod watched;
mod workers;
mod writing;
mod yielding;

pub use library_client::{get_poetry_named, get_poetry_named_with, poem_named, poem_named_with};
pub use library_server::{serve_library, serve_library_with};
pub use lines::{Lines, lines};
pub use poem_client::{get_poetry, get_poetry_by_hand, get_poetry_with, poem, poem_with};
pub use poem_server::{serve_poem, serve_poem_with};
pub use proxy::{serve_proxy, serve_proxy_with};
pub use transform_client::{transform, transform_with};
pub use transform_server::{serve_transforms, serve_transforms_with};
pub use workers::RunningServer;

// What the functions above take and return.
pub use poetry::event::{Interest, Unobserved};
pub use poetry::library::{FramedPoem, Library, PoemName, Poems};
pub use poetry::{Clock, Event, FetchError, FetchFailure, Kind, Limits, Observer, Options};
pub use poetry::{LibraryService, Pace, Peer, Poem, PoemService, ProxyService};
pub use poetry::{Summary, TransformService};
// The same for the client of `Streams`.
pub use poetry::{Cancel, Client, FetchRequest, Model, Outcome, Via};

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Server, Service};

/// The name that selects the model.
pub(crate) const NAME: &str = "streams";

/// The [`Model`] that all four crates implement: servers, and a blocking [`Client`] for many fetches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams;

impl Model for Streams {
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
        let workers = workers::RunningServer::start(listener, service, options, observer)?;
        Ok(Box::new(workers))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(fetcher::Fetcher::new(options)?))
    }
}
