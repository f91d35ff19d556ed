//! Callbacks: a reactor on mio, and Deferreds.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

mod deferred;
mod errand;
mod failure;
mod fetching;
mod linger;
pub mod log;
mod poem_client;
mod poem_server;
mod protocol;
mod reactor;
mod serving;
mod station;
mod threads;
mod timers;
mod transform_client;
mod transform_server;

pub use deferred::coroutine::{Awaited, coroutine};
pub use deferred::list::{AllFailed, DeferredList, FirstError, gather_results, race};
pub use deferred::queue::{DeferredQueue, QueueError};
pub use deferred::semaphore::{DeferredLock, DeferredSemaphore, ReleasedTooOften};
pub use deferred::{Control, Deferred, NotPaused, Outcome, Trigger, maybe_deferred};
pub use errand::Errand;
pub use failure::{Cancelled, Failure, Panicked, TimedOut, WaitsForItself};
pub use poem_client::get_poetry;
pub use poem_server::serve_poem;
pub use protocol::{Address, Factory, Lost, Producer, Protocol, Side};
pub use reactor::{
    Accepted, Acceptor, AlreadyRunning, Inlet, MemoryReactor, NotRunning, OpenReactor, Peer, Phase,
    Port, Reactor, RemoteReactor, Transport,
};
pub use station::{Admission, Station};
pub use threads::defer_to_thread;
pub use timers::{Clock, DelayedCall, NotPending};
pub use transform_client::{Transformed, transform, transform_in_coroutine, transform_or_keep};
pub use transform_server::serve_transforms;

/// The model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Callbacks;

impl Model for Callbacks {
    fn name(&self) -> &'static str {
        "callbacks"
    }

    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        serving::serve(listener, service, options, observer)
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(fetching::ReactorClient::new(options)))
    }
}
