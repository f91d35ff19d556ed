//! To be written.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

/// The model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blocking;

impl Model for Blocking {
    fn name(&self) -> &'static str {
        "blocking"
    }

    fn serve(
        &self,
        _: TcpListener,
        _: Service,
        _: &Options,
        _: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn client(&self, _: &Options) -> io::Result<Box<dyn Client>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
