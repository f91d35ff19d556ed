//! A connection's one timeout. Moving it is one store: the core's queue of checks is corrected when a check comes up.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use poetry::event::Wait;

use super::{Phase, Transport};
use crate::reactor::nanos;

/// What a connection waits for.
pub(crate) struct Waits {
    pub(crate) peer: SocketAddr,
    /// Whether a port accepted it; else this end initiated it.
    pub(crate) is_accepted: bool,
    pub(crate) wait: Wait,
    /// When its timeout is due, on the reactor's clock.
    pub(crate) timeout: Option<Duration>,
}

/// No timeout.
pub(super) const NEVER: u64 = u64::MAX;

impl Transport {
    /// Calls [`timeout_connection`](crate::Protocol::timeout_connection) once, `time` after the start of this turn, unless
    /// this is called again before; with `None`, never. Costs next to nothing: it does not even read the clock.
    pub fn set_timeout(&self, time: Option<Duration>) {
        let deadline = time.map_or(NEVER, |time| {
            self.0.core.now.get().saturating_add(nanos(time))
        });
        self.0.deadline.set(deadline);
        if deadline < self.0.next_check.get() && self.phase() != Phase::Closed {
            self.schedule_check(deadline);
        }
    }

    fn schedule_check(&self, at: u64) {
        self.0.next_check.set(at);
        let entry = Reverse((at, self.0.token));
        self.0.core.timeouts.borrow_mut().push(entry);
    }

    /// Runs the check scheduled for `at`: calls the protocol if the deadline has passed, else schedules the next check.
    pub(in crate::reactor) fn check_timeout(&self, at: u64, now: u64) {
        if !self.is_check_scheduled(at) {
            return;
        }
        self.0.next_check.set(NEVER);
        let deadline = self.0.deadline.get();
        if deadline > now {
            if deadline != NEVER {
                self.schedule_check(deadline);
            }
            return;
        }
        self.0.deadline.set(NEVER);
        if self.phase() == Phase::Connecting {
            return self.connect_timed_out();
        }
        if !self.extends_write_timeout() {
            self.call(|protocol, transport| protocol.timeout_connection(transport));
        }
        self.finish_up();
    }

    /// Whether a check of this connection is scheduled for `at`; other entries of the queue are stale.
    pub(in crate::reactor) fn is_check_scheduled(&self, at: u64) -> bool {
        self.0.next_check.get() == at
    }

    /// Returns what the connection waits for, and when that is over at the latest. Must not be called by its own protocol.
    pub(in crate::reactor) fn waits(&self) -> Waits {
        let protocol = self.0.protocol.take();
        let wait = match (self.phase(), &protocol) {
            (Phase::Connecting, _) => Wait::Connect,
            (_, Some(protocol)) => protocol.waits_for(self),
            (_, None) => self.waits_for(),
        };
        self.0.protocol.set(protocol);
        let deadline = self.0.deadline.get();
        Waits {
            peer: self.peer(),
            is_accepted: self.is_accepted(),
            wait,
            timeout: (deadline != NEVER).then(|| Duration::from_nanos(deadline)),
        }
    }

    /// Whether a blocked connection has made progress and got a new timeout (S18). The kernel announces room only when a
    /// good part of its buffer is free, so a slow reader is found by trying.
    fn extends_write_timeout(&self) -> bool {
        if !self.is_blocked() {
            return false;
        }
        self.0.made_progress.set(false);
        self.flush();
        self.0.made_progress.get() && self.0.deadline.get() != NEVER
    }
}
