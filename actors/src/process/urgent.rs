//! Urgent signals: a process handles them before the messages that arrived earlier (O2). Since messages and signals are in
//! one queue, the sender of an urgent one announces it.

use std::sync::atomic::{AtomicU8, Ordering};

use super::process_ref::Signal;
use crate::monitor::ProcessId;

/// A kill.
const KILL: u8 = 1;
/// An exit that ends the process, unless it traps exits.
const EXIT: u8 = 2;
/// The question of its supervisor whether it has started.
const START: u8 = 4;

/// The urgent signals that are in a mailbox, or about to be.
#[derive(Default)]
pub(super) struct Urgent(AtomicU8);

impl Urgent {
    /// Announces `signal` to the process `to`, if it is urgent. It has to be put into the mailbox then.
    pub(super) fn announce(&self, signal: &Signal, to: ProcessId) {
        let urgent = match signal {
            Signal::Kill => KILL,
            Signal::Exit(exit) if exit.is_fatal(to) => EXIT,
            Signal::TellStart(_) => START,
            Signal::Exit(_)
            | Signal::Down(_)
            | Signal::Timer(_)
            | Signal::Info(_)
            | Signal::HoldUntilEnd(_) => return,
        };
        self.0.fetch_or(urgent, Ordering::SeqCst);
    }

    /// Returns whether there are any.
    #[inline]
    pub(super) fn any(&self, traps_exits: bool) -> bool {
        match self.0.load(Ordering::SeqCst) {
            EXIT => !traps_exits,
            signals => signals != 0,
        }
    }

    /// An exit has been taken out of the mailbox. If the process traps exits, it is a message now.
    pub(super) fn exit_is_out(&self) {
        if self.0.load(Ordering::Relaxed) & EXIT != 0 {
            self.0.fetch_and(!EXIT, Ordering::Relaxed);
        }
    }

    /// The question whether the process has started has been taken out of the mailbox.
    pub(super) fn start_is_out(&self) {
        self.0.fetch_and(!START, Ordering::Relaxed);
    }
}
