//! What one connection tells the world: each thing once, to the counters (S23) and to the observer.

use poetry::event::{Interest, Scene};
use poetry::{CloseReason, Counters, Kind, Refusal, Reporter};

/// One connection's words to counters and observer.
#[derive(Debug)]
pub struct Ledger<'a> {
    counters: &'a Counters,
    reporter: &'a Reporter,
    scene: Scene,
    owed: u64,
    closed: bool,
}

impl<'a> Ledger<'a> {
    /// The words of a connection in `scene`, which `counters` know as accepted.
    pub fn new(counters: &'a Counters, reporter: &'a Reporter, scene: Scene) -> Self {
        Self {
            counters,
            reporter,
            scene,
            owed: 0,
            closed: false,
        }
    }

    /// A thread serves it.
    pub fn accepted(&self) {
        self.reporter.report(self.scene, Kind::Accepted);
    }

    /// Bytes came.
    #[inline]
    pub fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.counters.read(bytes);
        self.say(Interest::READ, || Kind::Read { bytes });
    }

    /// Bytes were taken by the kernel.
    #[inline]
    pub fn wrote(&self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > 0 {
            self.counters.wrote(bytes);
            self.say(Interest::WROTE, || Kind::Wrote { bytes });
        }
    }

    /// One more request is in flight.
    #[inline]
    pub fn request(&mut self) {
        self.counters.requests(1);
        self.owed += 1;
    }

    /// The replies to the `requests` that came first were taken.
    #[inline]
    pub fn answered(&mut self, requests: u64) {
        if requests > 0 {
            self.owed -= requests;
            self.counters.answered(requests);
            self.say(Interest::ANSWERED, || Kind::Answered { requests });
        }
    }

    /// The last request is refused.
    #[cold]
    pub fn refused(&mut self, refusal: Refusal) {
        self.owed -= 1;
        self.counters.refused(&refusal);
        self.reporter.report(self.scene, Kind::Refused(refusal));
    }

    /// The last request's handler panicked.
    #[cold]
    pub fn panicked(&mut self, message: String) {
        self.fail(1);
        self.reporter.report(self.scene, Kind::Panicked(message));
    }

    /// The connection is gone; what is still owed will not be answered.
    pub fn close(&mut self, reason: CloseReason) {
        self.count_closed(reason);
        self.reporter.report(self.scene, Kind::Closed(reason));
    }

    /// Something panicked that was not a request's handler, and the connection is gone.
    #[cold]
    pub fn break_down(&mut self, message: String) {
        self.count_closed(CloseReason::Panic);
        self.reporter.report(self.scene, Kind::Panicked(message));
        let reason = CloseReason::Panic;
        self.reporter.report(self.scene, Kind::Closed(reason));
    }

    /// Counted once, before it is said: whoever is told may panic.
    fn count_closed(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.closed, true) {
            self.fail(self.owed);
            self.counters.closed(reason);
        }
    }

    /// Says what happens all the time: what nobody wants to know is not even put into words.
    #[inline]
    fn say(&self, interest: Interest, kind: impl FnOnce() -> Kind) {
        if self.reporter.wants(interest) {
            self.reporter.report(self.scene, kind());
        }
    }

    fn fail(&mut self, requests: u64) {
        if requests > 0 {
            self.owed -= requests;
            self.counters.failed(requests);
        }
    }
}
