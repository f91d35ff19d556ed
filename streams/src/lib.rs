//! Lazy async streams on tokio, futures and tokio-stream.

mod buffer;
mod call;
mod chunks;
pub mod connection;
mod deadlines;
mod demand;
mod ending;
mod fetcher;
mod frames;
mod linger;
mod net;
pub mod poem_client;
pub mod poem_server;
mod replies;
pub mod site;
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
