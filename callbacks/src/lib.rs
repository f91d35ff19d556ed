//! **Callbacks**: a reactor on mio, and Deferreds, after Twisted's design. One thread runs one loop and calls everything.
//!
//! ```
//! use callbacks::{Failure, Pace, Poem, PoemService, Reactor, get_poetry, serve_poem};
//! use std::net::TcpListener;
//!
//! fn main() -> Result<(), Failure> {
//!     let reactor = Reactor::open()?;
//!
//!     // A server: its port accepts while the reactor runs.
//!     let service = PoemService { poem: Poem::from("Ahoy\n"), pace: Pace::Fast };
//!     let port = serve_poem(&reactor, TcpListener::bind("127.0.0.1:0")?, service)?;
//!
//!     // A client: these callbacks run when the poem has arrived, or has failed to.
//!     let context = reactor.clone();
//!     let _shown = get_poetry(&reactor, port.address())
//!         .add_callback(|poem| Ok(print!("{poem}")))
//!         .add_errback(|failure| Ok(eprintln!("no poem: {failure}")))
//!         .add_both(move |_| Ok(context.stop()?));
//!
//!     reactor.run()?; // Until `stop`.
//!     Ok(())
//! }
//! ```
//!
//! A function that would block returns a [`Deferred`] instead. Mistakes that Twisted finds at run time (firing twice, using
//! the reactor from another thread) do not compile. `examples/` has the tutorial's steps by hand, also its servers and proxies;
//! README.md lists them. Section 4 of SEMANTICS.md lists where our Deferreds deviate from Twisted's.
//!
//! # What to use when
//!
//! | for | use |
//! |---|---|
//! | one poem, or any result that comes later | [`get_poetry`]; a [`Deferred`] of your own, fired by its [`Trigger`] |
//! | several results: all, the first, or each in its place | [`gather_results`], [`race`], [`DeferredList`] |
//! | steps that read from top to bottom | [`coroutine`], which awaits Deferreds |
//! | work that blocks or computes for long | [`defer_to_thread`]; with few threads [`defer_to_thread_pool`] |
//! | at most *n* at a time, or items in order | [`DeferredLock`], [`DeferredSemaphore`], [`DeferredQueue`] |
//! | a call at a later time | [`Reactor::call_later`] |
//! | results of a thread of your own | an [`Inlet`], or [`RemoteReactor::call_from_thread`] |
//! | a protocol of your own | [`Protocol`] and [`Factory`], with [`Reactor::listen_tcp`] or [`Reactor::connect_tcp`] |
//! | limits, counts, an observer of events | a [`ServerState`], given to the functions that end in `_with` |
//! | tests without sockets and waiting | a [`MemoryReactor`], whose [`Clock`] moves by hand |
//!
//! # What is promised
//!
//! The numbers name rules in SEMANTICS.md, and each rule has a test.
//!
//! - A Deferred fires once; a second time does not compile (D2). A failure that no handler takes is reported once (D8). Chains of any
//!   depth take constant stack (D9). Cancelling reaches the canceller once, and a fire after it is dropped (D6).
//! - A call is never early, and calls of equal times run in order (R1). Calls from one thread keep their order (R7).
//! - A panic costs one call or one connection; the loop goes on (R4, S20).
//! - A peer that does not read is not read from (S5), and one that pipelines has its turns between those of others (S24). Every
//!   connection ends by a deadline (S18), and a shutdown by its grace (S21).
//!
//! # The sources
//!
//! | file | contents | rules |
//! |---|---|---|
//! | `poem_client.rs`, `transform_client.rs` | [`get_poetry`], [`get_poetry_named`]; [`transform`] and its fallback | S8, S10–S15 |
//! | `dialling.rs`, `netstring_client.rs` | connecting; asking a server of netstrings | S8, S10–S15 |
//! | `poem_server.rs` | [`serve_poem`] | S1, S18 |
//! | `transform_server.rs`, `library_server.rs` | [`serve_transforms`], [`serve_library`] | S3, S4, S8 |
//! | `netstring_server.rs`, `netstring_server/` | reading requests and delivering replies, for both | S2, S5–S7, S18, S24, S25 |
//! | `proxy.rs`, `proxy/` | [`serve_proxy`]: clients that share one fetch, and the cache | S9 |
//! | `deferred.rs`, `deferred/` | [`Deferred`], [`Trigger`], [`coroutine`], [`DeferredList`], locks and queues | D1–D13 |
//! | `protocol.rs` | [`Protocol`], [`Factory`], [`Producer`]: the traits that programs implement | R9 |
//! | `reactor.rs`, `reactor/core.rs` | [`Reactor`]; the loop: wait, update the time, call back | R1, R4, S24 |
//! | `reactor/connection.rs`, `reactor/port.rs` | [`Transport`]: a socket and its unsent bytes; [`Port`]: accepting | R9, S17 |
//! | `reactor/descriptors.rs` | connections that wait for a free descriptor | S15 |
//! | `reactor/lifecycle.rs`, `reactor/threads.rs` | [`Reactor::stop`], triggers; [`RemoteReactor`], [`Inlet`] | R3, R5–R7 |
//! | `reactor/system.rs`, `reactor/memory.rs` | the real socket and clock; [`MemoryReactor`], the same for tests | R8 |
//! | `timers.rs`, `log.rs` | [`Clock`]; reports of unhandled failures and of panics | R1, D8 |
//! | `threads.rs`, `threads/pool.rs` | [`defer_to_thread`], [`defer_to_thread_pool`]; [`ThreadPool`] | D14, S25 |
//! | `server_state.rs`, `connection_guard.rs` | [`ServerState`]: limits and counters; one connection's part in them | S21, S23 |
//! | `connection_limit.rs`, `linger.rs` | the limit on connections; the lingering close | S16, S7 |
//! | `task.rs`, `fetching.rs`, `serving.rs` | [`Task`]: one fetch; clients and servers behind the shared contract | S10, S21 |
//!
//! # How it stays cheap
//!
//! - A protocol is taken out of its connection while it is called. So it may use any transport, and is never called twice
//!   at once; what cannot be done during the call is done after it.
//! - Readiness is edge-triggered. A read that did not fill the buffer has emptied the socket, so no second read follows.
//! - All connections of a reactor share one read buffer and one buffer for replies. An idle connection owns no buffer and no
//!   decoder.
//! - Moving a connection's timeout is one store; the queue of timeouts is corrected when its first entry comes up.
//! - Chains of Deferreds of any depth are fired, cancelled and dropped in loops, never by recursion.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Model, Options, Server, Service};

mod connection_guard;
mod connection_limit;
mod deferred;
mod dialling;
mod failure;
mod fetching;
mod library_server;
mod linger;
pub mod log;
mod netstring_client;
mod netstring_server;
mod poem_client;
mod poem_server;
mod protocol;
mod proxy;
mod reactor;
mod server_state;
mod serving;
mod task;
mod threads;
mod timers;
mod transform_client;
mod transform_server;
mod watched;

pub use deferred::coroutine::{Awaited, coroutine};
pub use deferred::list::{AllFailed, DeferredList, FirstError, gather_results, race};
pub use deferred::queue::{DeferredQueue, QueueError};
pub use deferred::semaphore::{DeferredLock, DeferredSemaphore, ReleasedTooOften};
pub use deferred::{Control, Deferred, NotPaused, Outcome, Trigger, maybe_deferred};
pub use failure::{Abandoned, Cancelled, Failure, Panicked, TimedOut, WaitsForItself};
pub use library_server::{library_factory, serve_library, serve_library_with};
pub use poem_client::{get_poetry, get_poetry_named, get_poetry_named_with, get_poetry_with};
pub use poem_server::{poem_factory, serve_poem, serve_poem_with};
pub use poetry::event::{self, Unobserved};
pub use poetry::{Counts, FetchError, FetchFailure, FramedPoem, Library, Limits, Observer, Pace};
pub use poetry::{
    LibraryService, Peer, Poem, PoemName, PoemService, ProxyService, Reporter, Role,
    TransformService, Via,
};
pub use protocol::{Address, Factory, Lost, Producer, Protocol, Side};
pub use proxy::{proxy_factory, serve_proxy, serve_proxy_with};
pub use reactor::{
    Accepted, Acceptor, AlreadyRunning, Inlet, MemoryPeer, MemoryReactor, NotRunning, OpenReactor,
    Phase, Port, Reactor, RemoteReactor, Transport,
};
pub use server_state::ServerState;
pub use task::Task;
pub use threads::{ThreadPool, defer_to_thread, defer_to_thread_pool};
pub use timers::{Clock, Delayed, DelayedCall, NotPending};
pub use transform_client::{
    Transformed, transform, transform_in_coroutine, transform_or_keep, transform_or_keep_with,
    transform_with,
};
pub use transform_server::{serve_transforms, serve_transforms_with, transform_factory};

/// The model, behind the contract that all models share.
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
