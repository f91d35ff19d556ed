//! What one connection counts and reports (S23): exactly one beginning and exactly one end.

use std::net::SocketAddr;
use std::sync::Arc;

use poetry::event::{Interest, Scene, Wait};
use poetry::panics::contain;
use poetry::{CloseReason, Counters, Kind, Limits, Refusal, Reporter};

use crate::process::Turn;

/// What the connections of one arbiter share.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    pub(crate) worker: u32,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    /// The address the server listens on.
    pub(crate) address: SocketAddr,
}

/// The counters and events of one connection. A clone continues the same connection; only one of the two may close it.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    context: Arc<ConnectionContext>,
    number: u64,
    local: Option<SocketAddr>,
    peer: SocketAddr,
}

impl Ledger {
    /// Counts an accepted connection. Returns `None` if the observer panics, which costs the connection (S20). `local`
    /// is called only if the observer wants the address and the listener is bound to all addresses.
    pub(crate) fn open(
        context: Arc<ConnectionContext>,
        number: u64,
        peer: SocketAddr,
        local: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<Self> {
        let local = match context.address {
            address if !address.ip().is_unspecified() => Some(address),
            _ if context.reporter.wants(Interest::ALL) => local(),
            _ => None,
        };
        let ledger = Self {
            context,
            number,
            local,
            peer,
        };
        ledger.counters().accepted();
        let Err(message) = contain(|| ledger.report(Kind::Accepted)) else {
            return Some(ledger);
        };
        // The observer may panic again. The end is counted before it is reported.
        let _ = contain(|| ledger.panicked(&message));
        let _ = contain(|| ledger.closed(CloseReason::Panic));
        None
    }

    /// Returns the connection's number in accept order, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.context.limits
    }

    #[inline]
    pub(crate) fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.counters().read(bytes);
        if self.wants(Interest::READ) {
            self.report(Kind::Read { bytes });
        }
    }

    #[inline]
    pub(crate) fn wrote(&self, bytes: usize) {
        if bytes > 0 {
            let bytes = bytes as u64;
            self.counters().wrote(bytes);
            if self.wants(Interest::WROTE) {
                self.report(Kind::Wrote { bytes });
            }
        }
    }

    #[inline]
    pub(crate) fn request(&self) {
        self.counters().requests(1);
    }

    #[inline]
    pub(crate) fn answered(&self, requests: u64) {
        if requests > 0 {
            self.counters().answered(requests);
            if self.wants(Interest::ANSWERED) {
                self.report(Kind::Answered { requests });
            }
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.counters().refused(&refusal);
        self.report(Kind::Refused(refusal));
    }

    pub(crate) fn failed(&self, requests: u64) {
        self.counters().failed(requests);
    }

    pub(crate) fn panicked(&self, message: &str) {
        self.report(Kind::Panicked(message.to_owned()));
    }

    /// Counts the end of the connection.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.counters().closed(reason);
        self.report(Kind::Closed(reason));
    }

    /// Reports a turn of the connection's process, which waits for `wait` after it.
    #[inline]
    pub(crate) fn trace(&self, turn: Turn, wait: impl FnOnce() -> Wait) {
        if self.wants(Interest::TURNS) {
            self.report(turn.kind(wait));
        }
    }

    fn counters(&self) -> &Counters {
        &self.context.counters
    }

    /// Checked on the hot path before an event is built.
    #[inline]
    fn wants(&self, interest: Interest) -> bool {
        self.context.reporter.wants(interest)
    }

    #[cold]
    fn report(&self, kind: Kind) {
        let scene = Scene {
            worker: self.context.worker,
            task: self.number,
            parent: None,
            local: self.local,
            peer: Some(self.peer),
        };
        self.context.reporter.report(scene, kind);
    }
}
