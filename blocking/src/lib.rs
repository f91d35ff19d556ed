//! Threads and `std::net`: straight-line code, and a thread for everything that waits.

pub mod buffers;
pub mod connection;
pub mod deadlines;
pub mod errand;
pub mod ledger;
#[cfg(test)]
mod memory;
pub mod net;
pub mod open;
pub mod poem_client;
pub mod poem_server;
pub mod pool;
pub mod server;
pub mod transform_client;
pub mod transform_server;
pub mod workers;

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

pub use errand::Errand;
pub use poem_client::{PoemClient, get_poetry};
pub use poem_server::serve_poem;
pub use transform_client::transform;
pub use transform_server::serve_transforms;

/// The name the model is chosen by.
pub const NAME: &str = "blocking";

/// The model: a thread for each connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocking {
    /// Serve with a fixed number of threads and a queue instead.
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
        let listener = net::Listener::new(listener)?;
        Ok(match service {
            Service::Poem(service) => {
                Box::new(serve_poem(listener, service, self.pool, options, observer)?)
            }
            Service::Transform(service) => Box::new(serve_transforms(
                listener, service, self.pool, options, observer,
            )?),
        })
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(PoemClient::new(options)))
    }
}
