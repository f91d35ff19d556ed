//! Processes: isolated state, a bounded mailbox, messages taken one at a time, and exits that others can hear of
//! (O1–O4, O7). This module is the only one that knows actix: a process is an actor whose context also drives its
//! port; everybody else names the words below.
//!
//! What a process *is* stands in `cell`; what it can do while it handles something, in `me`; what others can do to
//! it, in `pid` and `record`; where it runs, in `node`.

mod arbiter;
mod by_id;
mod cell;
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
