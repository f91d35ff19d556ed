//! Lazy async streams: a poem is a value, and its bytes are read because somebody asks for the next of them.
//!
//! # Laziness, in Haskell and here
//!
//! In Haskell a poem can be a lazy list of characters: the handle is read while the list is looked at.
//!
//! ```haskell
//! poem <- hGetContents handle      -- nothing is read yet
//! mapM_ putStrLn (lines poem)      -- now it is, a line at a time
//! ```
//!
//! Here it is a stream, and [`lines`](lines::lines) is an adaptor like that one:
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
//! Taking the title of an endless poem is `take 1 . lines` there and `lines(poem).take(1)` here; dropping the stream
//! closes the socket at once, where Haskell waits for the collector to find the handle.
//!
//! Two clients of the tutorial differ in who waits. The first reads lazily and in order, so the second poem's sender
//! stalls while the first is read; the second gives each poem a thread, and waits for their answers:
//!
//! ```haskell
//! mapM_ putStr poems                                          -- one after another
//! answers <- forM peers $ \peer -> do { box <- newEmptyMVar
//!                                     ; forkIO (fetch peer >>= putMVar box)
//!                                     ; return box }
//! mapM takeMVar answers                                       -- all at once, taken in order
//! ```
//!
//! Both are joins, and each has its name: [`one_after_another`](joins::one_after_another) and
//! [`as_they_come`](joins::as_they_come) for the pieces of poems, [`in_order`](joins::in_order) and
//! [`as_they_end`](joins::as_they_end) for whole ones. No thread and no task is started for any of them: the fetches
//! are parts of one value, polled by whoever awaits it.
//!
//! ```no_run
//! # use futures::StreamExt;
//! # use poetry::Limits;
//! # use streams::{joins::in_order, poem_client::get_poetry};
//! # async fn read(addresses: Vec<std::net::SocketAddr>) {
//! let poems = addresses.into_iter().map(|address| get_poetry(vec![address], Limits::default()));
//! let answers: Vec<_> = in_order(poems, 100).collect().await; // all at once, taken in order
//! # }
//! ```
//!
//! Where the two part ways:
//!
//! - **A stream is consumed once.** A list that was read is still there; a stream's items are gone when they have been
//!   taken, so a poem read lazily takes no more memory than its longest line.
//! - **Demand is explicit.** Looking is a call, `next().await`, in sight of the reader; nothing is read because some pure
//!   function happened to look.
//! - **Errors are typed items.** A handle that fails while a lazy list is read ends the list in silence; here the failure is
//!   the stream's last item (L4), and the types make somebody look at it.
//!
//! What combinators are made of can be seen in [`get_poetry_by_hand`](poem_client::get_poetry_by_hand), the same client as
//! a loop with an `await` in it. `examples/` has seven steps that differ by a few lines each.
//!
//! # The server
//!
//! It is a stream of connections, each a stream of requests into a sink of replies (L5). Three decisions carry it:
//!
//! - **Demand comes first.** The sink is asked whether it has room before the stream is asked for more, so nothing is read
//!   for a peer that does not listen. (`forward` in `futures` asks the stream first, and holds an item nobody wants yet.)
//! - **Frames are lent.** What one read brought is answered inside the poll that read it, out of a buffer of the thread's;
//!   so an item of the stream is what one read was answered with, and an idle connection owns no buffer.
//! - **Dropping is cancelling.** A connection is closed and counted when its task is dropped, at whatever point that is; a
//!   shutdown lets those in flight finish and then drops the runtime.
//!
//! Each worker is a thread with a runtime of its own, and no task leaves its thread. So what its connections share
//! needs neither lock nor atomic, all their deadlines stand in one queue behind one timer, and they take turns: whoever is
//! ready waits for everybody who was ready before, once.
//!
//! # Where things are
//!
//! | module | what it holds | rules |
//! |---|---|---|
//! | [`poem_client`] | a poem as a stream of chunks; a poem, whole | L1–L4, S10–S15 |
//! | [`chunks`], [`lines`] | adaptors: bounded in time and length; lines | L3, S12, S15 |
//! | [`joins`] | many poems, ordered or not | L3 |
//! | [`transform_client`] | a poem transformed, or kept as it was | S13 |
//! | [`poem_server`] | a stream of connections, each the sink of a poem | S1 |
//! | [`transform_server`] | a stream of connections, each a stream of requests into a sink of replies | L5, S2–S7 |
//! | [`connection`], [`site`] | a server's end of a connection, and what those of one worker share | S23 |
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
pub mod site;
#[cfg(test)]
mod testing;
pub mod transform_client;
pub mod transform_server;
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
