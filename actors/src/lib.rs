//! The model *actors*: Erlang's processes in Rust, on actix, and the four programs written in them.
//!
//! # The idea
//!
//! Everything that happens is done by a **process**. It has a state that nobody else can reach, a bounded mailbox, and
//! a function that handles one message at a time. Processes share nothing, so one that fails takes nothing with it;
//! others hear that it ended, and why. A connection is a process, and so are whoever accepts connections, whoever
//! watches over them, and whoever fetches a poem. What a socket has to say is a message like any other.
//!
//! # Erlang, and here
//!
//! A process is a loop around `receive`. Here the loop is the runtime's, and what it calls is
//! [`Process::receive`](process::Process::receive):
//!
//! ```text
//! loop(Lines) ->                                        impl Process for Poem {
//!     receive                                             fn receive(&mut self, received, me) -> Next {
//!         {line, Line} -> loop([Line | Lines]);             match received {
//!         {recite, From} ->                                     Message(Line(line)) => self.lines.push(line),
//!             From ! {poem, Lines}, loop(Lines);                Message(Recite(reply)) => reply.send(self.text()),
//!         stop -> ok                                            Message(Stop) => return Next::Exit(Reason::Normal),
//!     end.                                                  }
//!                                                           Next::Receive
//! ```
//!
//! | Erlang | here | rule |
//! |---|---|---|
//! | `spawn(fun () -> … end)` | [`Me::spawn`](process::Me::spawn), [`Arbiter::spawn`](process::Arbiter::spawn) | O1 |
//! | `Pid ! Message` | [`Me::send`](process::Me::send); a full mailbox holds the sender back | O1 |
//! | `gen_server:call(Pid, Question, 5000)` | [`Me::call`](process::Me::call), from outside [`Node::call`](process::Node::call) | O7 |
//! | `gen_server:reply(From, Answer)` | [`Reply::send`](process::Reply::send) | O7 |
//! | `receive … after 5000 -> …` | [`Me::after`](process::Me::after), then [`Received::Timeout`](process::Received::Timeout) | |
//! | `monitor(process, Pid)`, `{'DOWN', Ref, process, Pid, Reason}` | [`Me::monitor`](process::Me::monitor), [`Received::Down`](process::Received::Down) | O2 |
//! | `spawn_link`, `process_flag(trap_exit, true)`, `{'EXIT', Pid, Reason}` | [`Me::spawn_link`](process::Me::spawn_link), [`Me::trap_exits`](process::Me::trap_exits), [`Received::Exit`](process::Received::Exit) | O3 |
//! | `exit(Reason)`, `exit(Pid, shutdown)`, `exit(Pid, kill)` | [`Next::Exit`](process::Next::Exit), [`ProcessRef::exit`](process::ProcessRef::exit), [`ProcessRef::kill`](process::ProcessRef::kill) | O4 |
//! | `terminate(Reason, State)` | [`Process::crashed`](process::Process::crashed), [`Process::terminate`](process::Process::terminate) | O4 |
//! | `register(poem, Pid)`, `whereis(poem)` | [`Node::register`](process::Node::register), [`Node::whereis`](process::Node::whereis) | |
//! | `#{id => poem, start => …, restart => permanent, shutdown => 5000}` | [`Spec`](supervisor::Spec) | O5 |
//! | `#{strategy => rest_for_one, intensity => 1, period => 5}` | [`Strategy`](supervisor::Strategy), [`Intensity`](supervisor::Intensity) | O5 |
//! | `supervisor:which_children(Sup)` | [`ToSupervisor::Show`](supervisor::ToSupervisor::Show), drawn by [`tree::draw`] | O6 |
//! | `{tcp, Socket, Data}`, `{active, true}` | [`TcpEvent::Data`](port::TcpEvent::Data), [`Tcp::set_active`](port::Tcp::set_active) | S5 |
//! | `{active, N}` | [`Listening::add_room`](port::Listening::add_room) | S16 |
//!
//! # Let it crash
//!
//! A panic in a process is an exit with the reason [`Crash`](monitor::Reason::Crash) and the panic's message, and ends
//! that process only. Nobody defends against it: the connection that was asked to `crash` hands over the replies it
//! owed before, and is gone; its supervisor counts one exit more. A permanent child that crashes is started anew in a
//! known state; when that does not help, its supervisor gives up, and *its* supervisor decides.
//!
//! ```text
//! Ref = monitor(process, Poem),                         me.monitor(&poem.process());
//! receive                                               …
//!     {'DOWN', Ref, process, Poem, Reason} ->           Received::Down(Down { monitor, process, reason }) =>
//!         io:format("ended: ~p~n", [Reason])                self.ended(reason),
//! end.
//! ```
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
//! # What is not as in Erlang
//!
//! - Mailboxes are bounded, and whoever sends to a full one waits, in order; `!` in Erlang never does.
//! - A mailbox takes one type, so there is nothing a process could receive and not understand, and messages are
//!   handled in the order they come: there is no selective receive. While a process waits for a reply
//!   ([`Me::call`](process::Me::call)) everything else waits, except a kill.
//! - Nothing is pre-empted. A process that computes for 10 ms delays its arbiter by that much, and a kill takes effect
//!   between two messages; a supervisor leaves behind what cannot be stopped, and shows it.
//! - [`Process::terminate`](process::Process::terminate) runs also after a kill: it keeps the books (S23).
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
