//! Lazy async streams: a poem is a value, and its bytes are read when the next of them is asked for.
//!
//! ```
//! use std::net::TcpListener;
//! use futures::{StreamExt, TryStreamExt};
//! use poetry::{Pace, PoemService};
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
//! [`get_poetry`] reads a whole poem, [`joins`] many, and [`transform`] has one transformed. Each function has a `…_with`
//! for limits. The examples `streams_01_whole` to `streams_08_codec_server` differ by a few lines each.
//!
//! A server is a stream of connections, each a stream of requests into a sink of replies (L5). To follow one request,
//! read `transform_server.rs` (the pipeline), `answers.rs` (requests in) and `writing.rs` (replies out). Each worker is a
//! thread with a runtime of its own, so connections share their state without locks.
//!
//! | file | contents | rules |
//! |---|---|---|
//! | `poem_client.rs`, `transform_client.rs` | poems as streams of chunks; transforms and their fallback | L1–L4, S10–S15 |
//! | `chunks.rs`, `lines.rs`, `joins.rs` | adaptors: bounds, lines, many poems | L3, S12, S15 |
//! | `transform_server.rs`, `answers.rs`, `writing.rs` | the path of a request | L5, S2–S6, S18 |
//! | `poem_server.rs` | poems at their pace | S1 |
//! | `turns.rs`, `deadlines.rs`, `linger.rs` | turns, timeouts, the lingering close | S24, S18, S7 |
//! | `workers.rs`, `connection.rs`, `shared.rs` | threads, connections and their shared state | S16, S20–S23 |
//! | `fetcher.rs`, `fetch.rs` | the client behind the contract | S10, S14 |
//!
//! Only `net.rs` names sockets. The rest takes any byte stream and tokio's clock, so tests run in memory, where an hour
//! passes at once.

mod answers;
mod buffer;
pub mod chunks;
mod connection;
mod deadlines;
mod ending;
mod fetch;
mod fetcher;
pub mod joins;
mod lines;
mod linger;
mod net;
mod poem_client;
mod poem_server;
mod shared;
#[cfg(test)]
mod testing;
mod transform_client;
mod transform_server;
mod turns;
mod workers;
mod writing;
mod yielding;

pub use lines::{Lines, lines};
pub use poem_client::{get_poetry, get_poetry_by_hand, get_poetry_with, poem, poem_with};
pub use poem_server::{serve_poem, serve_poem_with};
pub use transform_client::{transform, transform_with};
pub use transform_server::{serve_transforms, serve_transforms_with};
pub use workers::RunningServer;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

/// The name that selects the model.
pub(crate) const NAME: &str = "streams";

/// The model behind the contract.
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
