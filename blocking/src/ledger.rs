//! The counts (S23) and events of one connection. Each method counts something that has happened, and reports it to the
//! observer.

use poetry::event::{Interest, Scene, Wait};
use poetry::{CloseReason, Counters, Kind, Refusal, Reporter};

/// Counts and reports the events of one connection.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    counters: &'a Counters,
    reporter: &'a Reporter,
    scene: Scene,
    /// Requests counted as in flight.
    in_flight: u64,
    closed: bool,
}

impl<'a> Ledger<'a> {
    /// Creates the ledger of a connection that `counters` have counted as accepted.
    pub(crate) fn new(counters: &'a Counters, reporter: &'a Reporter, scene: Scene) -> Self {
        Self {
            counters,
            reporter,
            scene,
            in_flight: 0,
            closed: false,
        }
    }

    /// Returns a ledger for a second thread, which only reads.
    pub(crate) fn of_reads(&self) -> Self {
        Self::new(self.counters, self.reporter, self.scene)
    }

    /// A thread has begun to serve the connection.
    pub(crate) fn accepted(&self) {
        self.reporter.report(self.scene, Kind::Accepted);
        self.runs();
    }

    /// Bytes were read.
    #[inline]
    pub(crate) fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.counters.read(bytes);
        self.report_if_wanted(Interest::READ, || Kind::Read { bytes });
    }

    /// The kernel took bytes.
    #[inline]
    pub(crate) fn wrote(&self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > 0 {
            self.counters.wrote(bytes);
            self.report_if_wanted(Interest::WROTE, || Kind::Wrote { bytes });
        }
    }

    /// A request has arrived, and is in flight.
    #[inline]
    pub(crate) fn request(&mut self) {
        self.counters.requests(1);
        self.in_flight += 1;
    }

    /// The kernel took the replies to the first `requests` in flight.
    #[inline]
    pub(crate) fn answered(&mut self, requests: u64) {
        if requests > 0 {
            self.in_flight -= requests;
            self.counters.answered(requests);
            self.report_if_wanted(Interest::ANSWERED, || Kind::Answered { requests });
        }
    }

    /// The last request is refused.
    #[cold]
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        self.in_flight -= 1;
        self.counters.refused(&refusal);
        self.reporter.report(self.scene, Kind::Refused(refusal));
    }

    /// The handler of the last request panicked.
    #[cold]
    pub(crate) fn handler_panicked(&mut self, message: String) {
        self.fail(1);
        self.reporter.report(self.scene, Kind::Panicked(message));
    }

    /// The connection is closed. Requests still in flight have failed.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.count_closed(reason);
        self.reporter.report(self.scene, Kind::Closed(reason));
    }

    /// The connection is closed because of a panic outside a request's handler.
    #[cold]
    pub(crate) fn connection_panicked(&mut self, message: String) {
        self.count_closed(CloseReason::Panic);
        self.reporter.report(self.scene, Kind::Panicked(message));
        let reason = CloseReason::Panic;
        self.reporter.report(self.scene, Kind::Closed(reason));
    }

    /// Counts the close once, and before it is reported, since the observer may panic.
    fn count_closed(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.closed, true) {
            self.fail(self.in_flight);
            self.counters.closed(reason);
        }
    }

    /// The thread is about to sleep in a call, until the connection can go on.
    #[inline]
    pub(crate) fn waits(&self, wait: Wait) {
        self.report_if_wanted(Interest::TURNS, || Kind::Waiting(wait));
    }

    /// The call has returned: the thread runs the connection again.
    #[inline]
    pub(crate) fn runs(&self) {
        self.report_if_wanted(Interest::TURNS, || Kind::Running);
    }

    /// Builds a frequent event only if the observer wants it.
    #[inline]
    fn report_if_wanted(&self, interest: Interest, kind: impl FnOnce() -> Kind) {
        if self.reporter.wants(interest) {
            self.reporter.report(self.scene, kind());
        }
    }

    fn fail(&mut self, requests: u64) {
        if requests > 0 {
            self.in_flight -= requests;
            self.counters.failed(requests);
        }
    }
}
