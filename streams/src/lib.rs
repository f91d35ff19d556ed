//! Lazy async streams: a poem is a value, and its bytes are read because somebody asks for the next of them.
//!
//! ```no_run
//! # use futures::TryStreamExt;
//! # use poetry::{FetchFailure, Limits};
//! # use streams::{lines::lines, poem_client::poem};
//! # async fn read(address: std::net::SocketAddr) -> Result<(), FetchFailure> {
//! let mut lines = lines(poem(vec![address], Limits::default())); // not even connected yet
//! while let Some(line) = lines.try_next().await? {
//!     println!("{line}"); // now it is, a line at a time
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It is the lazy list that Haskell reads a handle by: [`poem_client`] tells where the two part ways, and [`joins`] how
//! many are read. `examples/` has seven steps that differ by a few lines each.
//!
//! The server is a stream of connections, each a stream of requests into a sink of replies (L5). Three decisions carry
//! it: demand comes first, so nothing is read for a peer that does not listen; frames are lent, so an idle connection
//! owns no buffer; and dropping is cancelling. [`transform_server`] tells of each.
//!
//! Each worker is a thread with a runtime of its own, and no task leaves its thread. So what its connections share
//! needs neither lock nor atomic, all their deadlines stand in one queue behind one timer, and they take turns: whoever is
//! ready waits for everybody who was ready before, once. [`shared`] has the figures that this was chosen by.
//!
//! | module | what it holds | rules |
//! |---|---|---|
//! | [`poem_client`] | a poem as a stream of chunks; a poem, whole | L1–L4, S10–S15 |
//! | [`chunks`], [`lines`] | adaptors: bounded in time and length; lines | L3, S12, S15 |
//! | [`joins`] | many poems, ordered or not | L3 |
//! | [`transform_client`] | a poem transformed, or kept as it was | S13 |
//! | [`poem_server`] | a stream of connections, each the sink of a poem | S1 |
//! | [`transform_server`] | a stream of connections, each a stream of requests into a sink of replies | L5, S2–S7 |
//! | [`connection`], [`shared`] | a server's end of a connection, and what those of one worker share | S23 |
//!
//! `net.rs` alone names sockets. Everything above takes whatever reads and writes, and tokio's time, so that the tests
//! run in memory, where an hour passes in no time.

mod buffer;
mod call;
pub mod chunks;
pub mod connection;
mod deadlines;
mod demand;
mod ending;
mod fetcher;
mod frames;
pub mod joins;
pub mod lines;
mod linger;
mod net;
pub mod poem_client;
pub mod poem_server;
mod replies;
pub mod shared;
#[cfg(test)]
mod testing;
pub mod transform_client;
pub mod transform_server;
mod turns;
mod workers;
mod writing;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

/// The name the model is chosen by.
pub(crate) const NAME: &str = "streams";

/// The model.
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
        let workers = workers::Workers::start(listener, service, options, observer)?;
        Ok(Box::new(workers))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(fetcher::Fetcher::new(options)?))
    }
}
