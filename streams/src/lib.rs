//! Lazy async streams: a poem is a value, and its bytes are read because somebody asks for the next of them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`poem_client`] | a poem as a stream of chunks; many poems as a stream of outcomes |
//! | [`transform_client`] | a poem transformed, or kept as it was |
//! | [`poem_server`] | a stream of connections, each the sink of a poem |
//! | [`transform_server`] | a stream of connections, each a stream of requests into a sink of replies |
//! | [`connection`], [`site`] | a server's end of a connection, and what those of one worker share |
//!
//! Three decisions carry it. **Demand comes first**: a server asks the sink of replies whether it has room before it
//! asks for the next request, so nothing is read for a peer that does not listen. **Frames are lent**: what one read
//! brought is answered inside the poll that read it, out of a buffer that belongs to the thread. **Dropping is
//! cancelling**: a connection is closed, counted and forgotten when its task is dropped, at whatever point that is.
//!
//! Each worker is a thread with a runtime of its own, and no task leaves its thread; so what connections share needs
//! neither lock nor atomic, and all deadlines of a worker stand in one queue.

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
