//! Counts and reports one connection of a server (S23), and counts it out when it is dropped, also after a panic.

use std::mem;
use std::rc::Rc;

use poetry::event::{Interest, Scene};
use poetry::{CloseReason, Kind, Refusal};

use crate::log;
use crate::protocol::Lost;
use crate::reactor::Transport;
use crate::server_state::ServerState;

/// One connection of a server: counted in when this is created, counted out once, when it closes.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    pub(crate) state: Rc<ServerState>,
    /// The number of the connection in events.
    task: u64,
    /// Requests received and not answered yet.
    unanswered: u32,
    delays_shutdown: bool,
    counted_out: bool,
}

impl ConnectionGuard {
    pub(crate) fn new(state: &Rc<ServerState>, task: u64) -> Self {
        state.counters.accepted();
        Self {
            state: Rc::clone(state),
            task,
            unanswered: 0,
            delays_shutdown: false,
            counted_out: false,
        }
    }

    /// Reports `kind`. Builds the event only if an observer wants it.
    #[inline]
    pub(crate) fn report(&self, transport: &Transport, kind: Kind) {
        if self.state.reporter.wants(kind.interest()) {
            self.report_event(transport, kind);
        }
    }

    #[cold]
    fn report_event(&self, transport: &Transport, kind: Kind) {
        let scene = self.state.scene_of(self.task, transport);
        self.state.reporter.report(scene, kind);
    }

    #[inline]
    pub(crate) fn on_bytes_read(&self, transport: &Transport, bytes: usize) {
        let bytes = bytes as u64;
        self.state.counters.read(bytes);
        if self.state.reporter.wants(Interest::READ) {
            self.report_event(transport, Kind::Read { bytes });
        }
    }

    #[inline]
    pub(crate) fn on_bytes_written(&self, transport: &Transport, bytes: usize) {
        if bytes > 0 {
            let bytes = bytes as u64;
            self.state.counters.wrote(bytes);
            if self.state.reporter.wants(Interest::WROTE) {
                self.report_event(transport, Kind::Wrote { bytes });
            }
        }
    }

    /// Counts requests in flight; those not answered when the connection closes have failed.
    #[inline]
    pub(crate) fn on_requests(&mut self, requests: u32) {
        self.state.counters.requests(requests.into());
        self.unanswered += requests;
    }

    pub(crate) fn has_unanswered(&self) -> bool {
        self.unanswered > 0
    }

    /// Counts requests as answered: the kernel has taken their replies to the last byte.
    #[inline]
    pub(crate) fn on_answered(&mut self, transport: &Transport, requests: u32) {
        if requests > 0 {
            self.unanswered -= requests;
            let requests = u64::from(requests);
            self.state.counters.answered(requests);
            if self.state.reporter.wants(Interest::ANSWERED) {
                self.report_event(transport, Kind::Answered { requests });
            }
        }
    }

    /// Counts a request in flight as refused (S4).
    #[cold]
    pub(crate) fn on_refused(&mut self, transport: &Transport, refusal: Refusal) {
        self.unanswered -= 1;
        self.state.counters.refused(&refusal);
        self.report(transport, Kind::Refused(refusal));
    }

    /// Counts a request in flight as failed, since its handler panicked (S20).
    #[cold]
    pub(crate) fn on_panic(&mut self, transport: &Transport, message: String) {
        self.unanswered -= 1;
        self.state.counters.failed(1);
        self.report(transport, Kind::Panicked(message));
    }

    /// Makes the shutdown wait for this connection, because something is in flight (S21).
    pub(crate) fn delay_shutdown(&mut self) {
        if !mem::replace(&mut self.delays_shutdown, true) {
            self.state.shutdown_delayed();
        }
    }

    pub(crate) fn on_closed(&mut self, transport: &Transport, reason: CloseReason) {
        self.count_out(reason);
        self.report(transport, Kind::Closed(reason));
    }

    fn count_out(&mut self, reason: CloseReason) {
        if mem::replace(&mut self.counted_out, true) {
            return;
        }
        let counters = &self.state.counters;
        counters.failed(mem::take(&mut self.unanswered).into());
        counters.closed(reason);
        self.state.connection_limit.connection_closed();
        if self.delays_shutdown {
            self.state.delay_ended(reason == CloseReason::Cut);
        }
    }
}

/// After a panic no protocol method runs (R4), so the connection is counted out here.
impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if !self.counted_out {
            self.count_out(CloseReason::Panic);
            let scene = Scene {
                task: self.task,
                ..self.state.scene()
            };
            // Contained: a second panic during the unwinding of the first would end the process.
            log::contained(|| {
                let closed = Kind::Closed(CloseReason::Panic);
                self.state.reporter.report(scene, closed);
            });
        }
    }
}

/// Returns the reason that a connection is counted under if its protocol knows no better one.
pub(crate) fn reason_of(lost: &Lost) -> CloseReason {
    match lost {
        Lost::Done => CloseReason::Done,
        Lost::Aborted => CloseReason::Cut,
        Lost::Broken(_) => CloseReason::Reset,
    }
}
