//! **Callbacks**: a reactor on mio, and Deferreds. One thread runs one loop; everything else is called back from it.
//!
//! Nothing here blocks, and nothing is locked but the queue that other threads put their calls into. A program says what
//! is to be done *when* something has happened, and returns; the reactor calls. It is Twisted's design, in Rust's types:
//! what was a rule there (fire once, do not return yourself, do not touch the reactor from another thread) is here mostly
//! something that does not compile.
//!
//! ```
//! use callbacks::{Deferred, Failure};
//!
//! // A result that will come, and what is to be done with it.
//! let (trigger, poem) = Deferred::new();
//! let shown = poem
//!     .add_callback(|poem: String| if poem.is_empty() { Err(Failure::message("no poem")) } else { Ok(poem) })
//!     .add_errback(|failure| Ok(format!("({failure})")));
//! trigger.callback(String::new());
//! assert_eq!(shown.take_result().unwrap().unwrap(), "(no poem)");
//! ```
//!
//! # The tour
//!
//! | file | what it holds | rules |
//! |---|---|---|
//! | `reactor.rs`, `reactor/core.rs` | [`Reactor`], and the loop: wait, tell the time, call back | R1, R4 |
//! | `reactor/connection.rs` | [`Transport`]: a socket, what is unsent, a timeout; `connection/` its ways in and out | R9 |
//! | `reactor/port.rs` | [`Port`]: accepting, and waiting when there are no descriptors | S16, S17 |
//! | `reactor/lifecycle.rs` | hooks, [`Reactor::stop`] and the shutdown triggers | R3, R5, R6 |
//! | `reactor/threads.rs` | [`RemoteReactor`] and [`Inlet`]: the way in from other threads | R7 |
//! | `reactor/system.rs` | the one file that names the real socket and the real clock | |
//! | `reactor/memory.rs` | [`MemoryReactor`]: the same surface for tests | R8 |
//! | `timers.rs` | [`Clock`]: calls that run later, in order | R1, R2, R8 |
//! | `protocol.rs` | [`Protocol`], [`Factory`], [`Producer`]: what programs implement | R9 |
//! | `deferred.rs` | [`Deferred`] and [`Trigger`], typed; `deferred/chain.rs` the machinery | D1–D9 |
//! | `deferred/` | [`coroutine`], [`DeferredList`], [`race`], [`DeferredSemaphore`], [`DeferredQueue`] | D10–D13 |
//! | `threads.rs`, `failure.rs`, `log.rs` | [`defer_to_thread`], [`Failure`], what nobody handled | D8, D14 |
//! | `station.rs`, `linger.rs`, `serving.rs` | what servers share, the lingering close, the threads | S7, S16, S21, S23 |
//! | `poem_server.rs`, `transform_server.rs` | [`serve_poem`], [`serve_transforms`] | S1, S3–S7, S18 |
//! | `poem_client.rs`, `transform_client.rs` | [`get_poetry`], [`transform`] and its fallback | S10–S15 |
//! | `task.rs`, `fetching.rs`, `fetching/` | [`Task`]: what one fetch carries with it; many of them at once | S10, S14 |
//!
//! # How it keeps out of the way
//!
//! - A protocol is taken out of its connection while it is called, so it may do anything to anybody, and is never called
//!   while another of its calls runs. What cannot be done on the spot is done when the call has returned.
//! - Readiness is edge-triggered. A read that did not fill the buffer has emptied the socket, so it is not asked again.
//! - One read buffer and one scratch for replies serve every connection of a reactor: an idle one owns neither, nor a
//!   decoder. A request that arrives whole allocates nothing.
//! - What a turn begins is watched when it has ended, so that nothing comes between the first dial of many and the last.
//! - The time is told once a turn, and again for each call that is to come later. Moving a connection's timeout is one
//!   store; the queue of timeouts looks again when the earliest it knows of comes up.
//! - Chains of Deferreds of any depth are fired, cancelled and dropped by loops, never by recursion.
//! - The [`OpenReactor`] owns everything that its handles refer to. When it is dropped, every socket is closed.
//!
//! The steps of the tutorial are in `examples/`, each a program that differs little from the one before.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Observer, Options, Server, Service};

mod deferred;
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
mod task;
mod threads;
mod timers;
mod transform_client;
mod transform_server;

pub use deferred::coroutine::{Awaited, coroutine};
pub use deferred::list::{AllFailed, DeferredList, FirstError, gather_results, race};
pub use deferred::queue::{DeferredQueue, QueueError};
pub use deferred::semaphore::{DeferredLock, DeferredSemaphore, ReleasedTooOften};
pub use deferred::{Control, Deferred, NotPaused, Outcome, Trigger, maybe_deferred};
pub use failure::{Abandoned, Cancelled, Failure, Panicked, TimedOut, WaitsForItself};
pub use poem_client::get_poetry;
pub use poem_server::{poem_factory, serve_poem};
pub use protocol::{Address, Factory, Lost, Producer, Protocol, Side};
pub use reactor::{
    Accepted, Acceptor, AlreadyRunning, Inlet, MemoryReactor, NotRunning, OpenReactor, Peer, Phase,
    Port, Reactor, RemoteReactor, Transport,
};
pub use station::{Admission, Station};
pub use task::Task;
pub use threads::defer_to_thread;
pub use timers::{Clock, DelayedCall, NotPending};
pub use transform_client::{Transformed, transform, transform_in_coroutine, transform_or_keep};
pub use transform_server::{serve_transforms, transform_factory};

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
