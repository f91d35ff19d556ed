//! Erlang-style processes on actix.

pub mod dial;
mod ledger;
pub mod listener;
pub mod messages;
pub mod monitor;
pub mod net;
pub mod poem_client;
pub mod poem_server;
pub mod port;
pub mod process;
pub mod supervisor;
mod timers;
pub mod transform_client;
pub mod transform_server;
pub mod tree;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

/// The name this model is chosen by.
pub(crate) const NAME: &str = "actors";

/// The model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Actors;

impl Model for Actors {
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
        Ok(Box::new(match service {
            Service::Poem(service) => poem_server::serve_poem(listener, service, options, observer),
            Service::Transform(service) => {
                transform_server::serve_transforms(listener, service, options, observer)
            }
        }?))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(poem_client::Poets::start(options)?))
    }
}
