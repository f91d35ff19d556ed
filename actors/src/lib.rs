//! The model *actors*: Erlang's processes in Rust, on actix, and programs written with them: servers of a poem, of transforms
//! and of a library, a caching proxy, and their clients.
//!
//! ```
//! use actors::{Fetched, Me, Next, NoPort, Node, Process, Reason, Received};
//! use actors::{Pace, Peer, PoemService, Server, serve_poem};
//! use std::net::TcpListener;
//!
//! struct Reader(Peer);
//!
//! impl Process for Reader {
//!     type Message = Fetched;
//!     type Port = NoPort;
//!
//!     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
//!         me.fetch(self.0.clone()); // A poet, a linked process, fetches the poem …
//!         Next::Receive
//!     }
//!
//!     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
//!         if let Received::Message(fetched) = received { // … and sends one message.
//!             assert_eq!(fetched.outcome.poem.as_deref(), Ok("Stars fall."));
//!         }
//!         Next::Exit(Reason::Normal)
//!     }
//! }
//!
//! let service = PoemService { poem: "Stars fall.".into(), pace: Pace::Fast };
//! let server = serve_poem(TcpListener::bind("127.0.0.1:0")?, service)?;
//! let node = Node::start_one()?;
//! let reader = node.spawn("reader", Reader(server.address().into()));
//! assert_eq!(node.join(&reader.process()), Reason::Normal);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A [`Process`] has a state that no other process can reach, a bounded mailbox, and a handler for one message at a time.
//! A panic ends its process only: processes that are linked to it or monitor it receive the reason, and a [`Supervisor`]
//! restarts it. A connection is a process, and so is the acceptor; a [`RunningServer`] draws the tree of them. The docs of
//! [`Process`] translate Erlang's terms and list the differences.
//!
//! # What to use when
//!
//! | for | use |
//! |---|---|
//! | state that several others use | a [`Process`]; [`Me::send`] to tell it something, [`Me::call`] to ask it |
//! | a question from a thread that is no process | [`Node::call`]; [`Node::join`] waits for a process to end |
//! | learning that another process has ended, and why | [`Me::monitor`]; two that must end together: [`Me::link`] |
//! | work that may fail and begins again with a new state | a child of a [`Supervisor`], of a kind of [`Restart`], by a [`Strategy`] |
//! | finding a process whose pid changes with restarts | a [`Name`], with [`Node::register`] and [`Node::whereis`] |
//! | a message at a later time | [`Me::send_after`]; one timeout is cheaper: [`Me::after`] |
//! | a poem, as a message | [`Me::fetch`], or [`Me::fetch_with`] for many |
//! | seeing the tree of your own processes | [`draw_tree`] |
//! | limits and an observer of events | the functions that end in `_with` |
//!
//! # What is promised
//!
//! The numbers name rules in SEMANTICS.md, and each rule has a test.
//!
//! - State belongs to one process. Mailboxes are bounded, and a sender to a full one waits (O1).
//! - Signals between two processes keep their order, and a monitor tells of an end exactly once, after the process has released what it
//!   owned (O2). An abnormal exit ends those that are linked, unless they trap exits (O3).
//! - A panic costs its process only, and the replies that a connection owes are still delivered (O4, S20).
//! - A supervisor restarts by OTP's rules, and gives up when there are too many restarts (O5). A call has a timeout (O7).
//! - A peer that does not read is not read from (S5), and one that pipelines has its turns between those of others (S24). Every
//!   connection ends by a deadline (S18), and a shutdown by its grace (S21).
//!
//! # On actix
//!
//! actix provides the actors, the mailboxes' queues, the dispatch of messages, and the threads (arbiters). This crate adds
//! bounded mailboxes (actix's `do_send` ignores the bound), signals, links, monitors, exit reasons, calls with timeouts,
//! ports that lend bytes, one timer queue for each thread (`run_later` makes a timer for each actor), and a small context
//! (actix's own has room for futures in every idle actor). It also has supervisors of its own. actix's supervisor calls
//! `restarting` on the *same* value after `stop`, and a panic drops the actor and its supervisor together; Erlang starts a
//! child with a new state, also after a crash.
//!
//! Read `process.rs` first, then `transform_server.rs`, `request_server.rs`, `listener.rs` and `proxy.rs`. The examples
//! `actors_01_process` to `actors_11b_reasons` grow from one process to supervised servers and clients by hand (README.md lists
//! them); start one with `cargo run -p quatrain-actors --example actors_01_process`.

mod descriptors;
mod dial;
mod exchange;
mod ledger;
mod library_server;
mod linger;
mod listener;
mod messages;
mod monitor;
mod net;
mod poem_client;
mod poem_server;
mod port;
mod process;
mod proxy;
mod replies;
mod request_server;
#[cfg(test)]
mod simulation;
mod supervisor;
#[cfg(test)]
mod testing;
mod timers;
mod transform_client;
mod transform_server;
mod tree;
mod workers;

// Processes.
pub use monitor::{Down, Exit, MonitorId, ProcessId, Reason, Term, TimerId, Value};
pub use port::{NoPort, Port};
pub use process::{
    Answer, Arbiter, CallError, MAILBOX_CAPACITY, Me, Name, Next, Node, Pid, Process, ProcessInfo,
    ProcessRef, Received, RegisterError, Reply, SendError, TIMERS_MAX, TestClock, Turn, WaitsFor,
};
// Supervisors.
pub use supervisor::{
    AutoShutdown, ChildError, FailedToStart, Intensity, KILL_TIMEOUT, Restart, START_TIMEOUT,
    Shutdown, Spec, Started, Strategy, Supervisor, ToSupervisor,
};
pub use tree::{ChildInfo, Children, Restarted, WhichChildren, draw_tree};
// Clients and servers.
pub use library_server::{serve_library, serve_library_with};
pub use listener::RunningServer;
pub use messages::Fetched;
pub use poem_client::FetchSettings;
pub use poem_server::{serve_poem, serve_poem_with};
pub use proxy::{serve_proxy, serve_proxy_with};
pub use transform_server::{serve_transforms, serve_transforms_with};
// The types that their functions take and return.
pub use poetry::event::{Interest, Unobserved};
pub use poetry::{Counts, Event, Kind};
pub use poetry::{FetchError, FetchFailure, FetchRequest, Limits, Observer, Options, Outcome};
pub use poetry::{FramedPoem, Library, LibraryService, PoemName};
pub use poetry::{
    Pace, Peer, Poem, PoemService, ProxyService, Server, Summary, TransformService, Via,
};

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::{Client, Clock, Model, Service};

/// The name that selects this model.
pub(crate) const NAME: &str = "actors";

/// Returns the options that the functions without `_with` use: one thread, the default limits, and the real clock.
pub fn default_options() -> Options {
    Options::new(Clock::new(net::now))
}

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
            Service::Poem(service) => {
                poem_server::serve_poem_with(listener, service, options, observer)
            }
            Service::Transform(service) => {
                transform_server::serve_transforms_with(listener, service, options, observer)
            }
            Service::Library(service) => {
                library_server::serve_library_with(listener, service, options, observer)
            }
            Service::Proxy(service) => {
                proxy::serve_proxy_with(listener, service, options, observer)
            }
        }?))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(poem_client::Poets::start(options)?))
    }
}
