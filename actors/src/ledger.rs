//! What one connection counts and reports (S23): a beginning, what happened in between, exactly one end.

use std::net::SocketAddr;
use std::sync::Arc;

use poetry::event::{Interest, Scene};
use poetry::{CloseReason, Counters, Kind, Limits, Refusal, Reporter};

/// What the connections of one arbiter share.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) worker: u32,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
}

/// The books of one connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    serving: Arc<Serving>,
    number: u64,
    local: Option<SocketAddr>,
    peer: SocketAddr,
}

impl Ledger {
    /// Opens the books: a connection was accepted. `local` is asked only if the listener's address does not tell,
    /// and somebody wants to know.
    pub(crate) fn open(
        serving: Arc<Serving>,
        number: u64,
        peer: SocketAddr,
        local: impl FnOnce() -> Option<SocketAddr>,
    ) -> Self {
        let local = match serving.address {
            address if !address.ip().is_unspecified() => Some(address),
            _ if serving.reporter.wants(Interest::ALL) => local(),
            _ => None,
        };
        let ledger = Self {
            serving,
            number,
            local,
            peer,
        };
        ledger.counters().accepted();
        ledger.tell(Kind::Accepted);
        ledger
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.serving.limits
    }

    #[inline]
    pub(crate) fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.counters().read(bytes);
        if self.wants(Interest::READ) {
            self.tell(Kind::Read { bytes });
        }
    }

    #[inline]
    pub(crate) fn wrote(&self, bytes: usize) {
        if bytes > 0 {
            let bytes = bytes as u64;
            self.counters().wrote(bytes);
            if self.wants(Interest::WROTE) {
                self.tell(Kind::Wrote { bytes });
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
                self.tell(Kind::Answered { requests });
            }
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.counters().refused(&refusal);
        self.tell(Kind::Refused(refusal));
    }

    pub(crate) fn failed(&self, requests: u64) {
        self.counters().failed(requests);
    }

    pub(crate) fn panicked(&self, message: &str) {
        self.tell(Kind::Panicked(message.to_owned()));
    }

    /// Closes the books.
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.counters().closed(reason);
        self.tell(Kind::Closed(reason));
    }

    fn counters(&self) -> &Counters {
        &self.serving.counters
    }

    /// Asked on the hot path before an event is made.
    #[inline]
    fn wants(&self, interest: Interest) -> bool {
        self.serving.reporter.wants(interest)
    }

    #[cold]
    fn tell(&self, kind: Kind) {
        let scene = Scene {
            worker: self.serving.worker,
            task: self.number,
            parent: None,
            local: self.local,
            peer: Some(self.peer),
        };
        self.serving.reporter.report(scene, kind);
    }
}
