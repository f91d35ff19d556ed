//! What a process says about itself (O10): `process_info`.

use std::fmt;
use std::time::Duration;

use super::name::Name;
use crate::monitor::ProcessId;

/// The state of a process between two handlers: Erlang's `process_info(Pid)`. Processes are in the order of their start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The messages in its mailbox, and the capacity of that: `message_queue_len`.
    pub mailbox: (usize, usize),
    /// The number of messages that it has postponed ([`Me::postpone`](super::Me::postpone)).
    pub postponed: usize,
    /// The processes that are linked to it.
    pub links: Vec<ProcessId>,
    /// The processes that it monitors, once for each monitor.
    pub monitors: Vec<ProcessId>,
    /// The processes that monitor it, once for each monitor.
    pub monitored_by: Vec<ProcessId>,
    /// Whether it traps exits.
    pub traps_exits: bool,
    /// The number of its own timers ([`Me::send_after`](super::Me::send_after)).
    pub timers: usize,
    /// The time left until its timeout ([`Me::after`](super::Me::after)), if it has set one.
    pub timeout: Option<Duration>,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a process waits for between two handlers. Only one that waits to receive receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// The next message, event of its port, or timeout.
    Receive,
    /// Room in the mailbox of the process of this name ([`Me::send`](super::Me::send)).
    Room(Name),
    /// The reply of the process of this name ([`Me::call`](super::Me::call)).
    Reply(Name),
    /// The start of the child of this name; only a supervisor waits for that.
    Start(Name),
    /// The end of the child of this name; only a supervisor waits for that.
    End(Name),
    /// A future ([`Me::wait`](super::Me::wait)).
    Future,
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive => out.write_str("receives"),
            Self::Room(name) => write!(out, "waits for room in the mailbox of {name}"),
            Self::Reply(name) => write!(out, "waits for the reply of {name}"),
            Self::Start(name) => write!(out, "waits for the start of {name}"),
            Self::End(name) => write!(out, "waits for the end of {name}"),
            Self::Future => out.write_str("waits for a future"),
        }
    }
}
