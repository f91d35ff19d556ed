//! The model *actors*: Erlang's processes in Rust, on actix, and the four programs written in them.
//!
//! # The idea
//!
//! Everything that happens is done by a **process**. It has a state that nobody else can reach, a bounded mailbox, and
//! a function that handles one message at a time. Processes share nothing, so one that fails takes nothing with it;
//! others hear that it ended, and why. A connection is a process, and so are whoever accepts connections, whoever
//! watches over them, and whoever fetches a poem. What a socket has to say is a message like any other.
//! How each of Erlang's words is said here, and what is not as it is there, stands in [`process`].
//!
//! # Let it crash
//!
//! A panic in a process is an exit with the reason [`Crash`](monitor::Reason::Crash) and the panic's message, and ends
//! that process only. Nobody defends against it: the connection that was asked to `crash` hands over the replies it
//! owed before, and is gone; its supervisor counts one exit more. A permanent child that crashes is started anew in a
//! known state; when that does not help, its supervisor gives up, and *its* supervisor decides.
//!
//! # A server
//!
//! A listener has the shape that Ranch gave it. The acceptor takes a connection only while a connection supervisor has
//! told it that there is room; so the limit on connections is nothing but messages, and what is beyond it waits in the
//! kernel's backlog. One arbiter is one thread with one connection supervisor; the acceptor deals them sockets in turn.
//!
//! ```text
//! listener (supervisor, rest_for_one)
//! ├─ connections-0 (connection supervisor, 2 of at most 5000)
//! │  ├─ connection-0
//! │  └─ connection-2
//! ├─ connections-1 (connection supervisor, 1 of at most 5000)
//! │  └─ connection-1
//! └─ acceptor
//! ```
//!
//! A client is one process that sends out a poet for every poem and collects one message from each. A poet that has
//! its poem starts a transformer it is linked to, so that a fetch which is cancelled takes both with it.
//!
//! # Where to look
//!
//! | file | what it is |
//! |---|---|
//! | [`process`] | processes, pids, nodes; alone in knowing actix |
//! | [`monitor`] | exit reasons, and the notices of an exit |
//! | [`supervisor`], [`tree`] | supervisors, and the tree drawn |
//! | [`messages`] | what the programs' processes say to each other |
//! | [`port`], [`dial`], [`net`] | what a process owns of the outside world; alone in knowing sockets and the clock |
//! | [`listener`] | acceptor, connection supervisors, the server |
//! | [`transform_server`], [`poem_server`] | one connection each |
//! | [`poem_client`], [`transform_client`] | fetcher, poets, transformers |
//!
//! The examples (`step_1_process` … `step_6_poet`) grow from the smallest process to the supervised server and its
//! client, each a small difference from the one before.

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
#[cfg(test)]
mod testing;
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
