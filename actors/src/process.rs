//! Processes: isolated state, a bounded mailbox, messages taken one at a time, and exits that others can hear of
//! (O1–O4, O7). This module is the only one that knows actix: a process is an actor whose context also drives its
//! port; everybody else names the words below.
//!
//! What a process *is* stands in `cell` and `context`; what it can do while it handles something, in `me`;
//! what others can do to it, in `pid` and `record`; where it runs, in `node`.
//!
//! # Erlang, and here
//!
//! A process is a loop around `receive`. Here the loop is the runtime's, and what it calls is
//! [`Process::receive`]:
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
//! | `spawn(fun () -> … end)` | [`Me::spawn`], [`Arbiter::spawn`] | O1 |
//! | `Pid ! Message` | [`Me::send`]; a full mailbox holds the sender back | O1 |
//! | `gen_server:call(Pid, Question, 5000)` | [`Me::call`], from outside [`Node::call`] | O7 |
//! | `gen_server:reply(From, Answer)` | [`Reply::send`] | O7 |
//! | `receive … after 5000 -> …` | [`Me::after`], then [`Received::Timeout`] | |
//! | `monitor(process, Pid)`, `{'DOWN', Ref, process, Pid, Reason}` | [`Me::monitor`], [`Received::Down`] | O2 |
//! | `spawn_link`, `process_flag(trap_exit, true)`, `{'EXIT', Pid, Reason}` | [`Me::spawn_link`], [`Me::trap_exits`], [`Received::Exit`] | O3 |
//! | `exit(Reason)`, `exit(Pid, shutdown)`, `exit(Pid, kill)` | [`Next::Exit`], [`ProcessRef::exit`], [`ProcessRef::kill`] | O4 |
//! | `terminate(Reason, State)` | [`Process::crashed`], [`Process::terminate`] | O4 |
//! | `register(poem, Pid)`, `whereis(poem)` | [`Node::register`], [`Node::whereis`] | |
//! | `#{id => poem, start => …, restart => permanent, shutdown => 5000}` | [`Spec`](crate::supervisor::Spec) | O5 |
//! | `#{strategy => rest_for_one, intensity => 1, period => 5}` | [`Strategy`](crate::supervisor::Strategy), [`Intensity`](crate::supervisor::Intensity) | O5 |
//! | `supervisor:which_children(Sup)` | [`ToSupervisor::WhichChildren`](crate::supervisor::ToSupervisor::WhichChildren), drawn by [`tree::draw`](crate::tree::draw) | O6 |
//! | `{tcp, Socket, Data}`, `{active, true}` | [`TcpEvent::Data`](crate::port::TcpEvent::Data), [`Tcp::set_active`](crate::port::Tcp::set_active) | S5 |
//! | `{active, N}` | [`Listening::add_room`](crate::port::Listening::add_room) | S16 |
//!
//! The end of a process is received like a message:
//!
//! ```text
//! Ref = monitor(process, Poem),                         me.monitor(&poem.process());
//! receive                                               …
//!     {'DOWN', Ref, process, Poem, Reason} ->           Received::Down(Down { monitor, process, reason }) =>
//!         io:format("ended: ~p~n", [Reason])                self.ended(reason),
//! end.
//! ```
//!
//! # What is not as in Erlang
//!
//! - Mailboxes are bounded, and whoever sends to a full one waits, in order; `!` in Erlang never does.
//! - A mailbox takes one type, so there is nothing a process could receive and not understand, and messages are
//!   handled in the order they come: there is no selective receive. While a process waits for a reply
//!   ([`Me::call`]) everything else waits, except a kill.
//! - Nothing is pre-empted. A process that computes for 10 ms delays its arbiter by that much, and a kill takes effect
//!   between two messages; a supervisor leaves behind what cannot be stopped, and shows it.
//! - [`Process::terminate`] runs also after a kill: it keeps the books (S23).
//! - A start is over when the process has a pid: what it does first, a supervisor does not wait for, and it ends like
//!   any other if that fails. A supervisor that is asked to stop while it restarts children starts none any more.

mod arbiter;
mod by_id;
mod cell;
mod context;
mod me;
mod name;
mod node;
mod pid;
mod record;
mod time;

pub use arbiter::Arbiter;
pub(crate) use by_id::ById;
pub use me::Me;
pub use name::Name;
pub use node::{Answer, Node};
pub use pid::{CallError, Pid, ProcessRef, Reply, SendError};
pub use time::TestClock;
pub(crate) use time::timeout;

use crate::monitor::{Down, Exit, Reason};
use crate::port::Port;

/// Messages a mailbox holds unless told otherwise: enough that a burst from a few processes does not stop them,
/// little enough that nobody queues behind much.
pub const MAILBOX_CAPACITY: usize = 64;

/// The behaviour of a process: its state is `self`, and nobody else can reach it.
///
/// ```text
/// loop(State) ->
///     receive
///         Message -> loop(handle(Message, State))
///     end.
/// ```
pub trait Process: Sized + 'static {
    /// What its mailbox takes.
    type Message: Send + 'static;
    /// What it owns of the outside world; [`NoPort`](crate::port::NoPort) if nothing.
    type Port: Port;
    /// How many messages its mailbox holds.
    const MAILBOX: usize = MAILBOX_CAPACITY;
    /// Whether it says itself that it crashed; otherwise the node's crash hook does ([`Node::on_crash`]).
    const REPORTS_CRASHES: bool = false;

    /// Called once, before anything is received.
    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        let _ = me;
        Next::Receive
    }

    /// Handles one thing received.
    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next;

    /// Called when another function of this process panicked with `message`: what it owes others it may still
    /// hand over before it exits. The state is as the panic left it.
    fn crashed(&mut self, message: &str, me: &mut Me<'_, Self>) -> Next {
        let _ = me;
        Next::Exit(Reason::crash(message))
    }

    /// Called once, last, however the process ends; then its state and its port are dropped, then those who
    /// watch it are told.
    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        let _ = (reason, me);
    }
}

/// What a process does after it has handled something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It receives again.
    Receive,
    /// It exits, once what it has sent is in its receivers' mailboxes.
    Exit(Reason),
}

/// What a process receives.
pub enum Received<'a, P: Process> {
    /// A message from its mailbox.
    Message(P::Message),
    /// Something happened at its port.
    Port(<P::Port as Port>::Event<'a>),
    /// A linked process ended, or somebody asked this one to exit; only if it traps exits.
    Exit(Exit),
    /// A process it monitors ended.
    Down(Down),
    /// The time it gave to [`Me::after`] is over.
    Timeout,
}
