//! What the steps need besides what they show: a poem server of their own, in a thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use callbacks::Callbacks;
use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Pace, Poem, PoemService, Server, Service, TransformService};

/// What is served.
pub(crate) const POEM: &str = "THIS IS JUST A POEM\nOF TWO LINES\n";

/// Serves the poem until it is dropped.
pub(crate) fn poem_server() -> std::io::Result<Box<dyn Server>> {
    serve(Service::Poem(PoemService {
        poem: Poem::from(POEM),
        pace: Pace::Fast,
    }))
}

/// Serves transforms until it is dropped.
#[allow(dead_code)] // Not every step transforms.
pub(crate) fn transform_server() -> std::io::Result<Box<dyn Server>> {
    serve(Service::Transform(TransformService::default()))
}

fn serve(service: Service) -> std::io::Result<Box<dyn Server>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let options = Options::new(Clock::stopped());
    Callbacks.serve(listener, service, &options, Arc::new(Unobserved))
}

/// An address that nobody listens at.
#[allow(dead_code)] // Not every step fails.
pub(crate) fn nobody() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
