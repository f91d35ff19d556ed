//! The end of a connection: what its phase asks for is done after the call that asked.

use std::io;

use super::{Phase, Transport};
use crate::log;
use crate::protocol::Lost;
use crate::reactor::system::Socket;

impl Transport {
    /// Closes, sends FIN or shuts down, if the calls before have requested it.
    #[inline]
    pub(super) fn finish_up(&self) {
        if self.phase() != Phase::Open || self.0.shutdown_due.get() {
            self.finish_phase();
        }
    }

    fn finish_phase(&self) {
        if self.0.shutdown_due.take() {
            return self.shut_down();
        }
        match self.phase() {
            Phase::Aborted => {
                let error = self.with_extra(|extra| extra.error.take());
                self.close(error.map_or(Lost::Aborted, Lost::Broken));
            }
            Phase::FinPending | Phase::Losing if self.is_blocked() => {}
            Phase::Losing => self.close(Lost::Done),
            Phase::FinPending => {
                self.advance_to(Phase::FinSent);
                self.0.fin_sent.set(true);
                self.send_fin();
            }
            Phase::Connecting | Phase::Open | Phase::FinSent | Phase::Closed => {}
        }
    }

    /// Closes the socket, then calls the protocol for the last time.
    pub(in crate::reactor) fn close(&self, lost: Lost) {
        if self.phase() == Phase::Closed {
            return;
        }
        let was_made = self.phase() != Phase::Connecting;
        self.advance_to(Phase::Closed);
        let removed = self.0.core.connections.borrow_mut().remove(self.0.token);
        drop(removed);
        let socket = self.0.socket.take();
        // FIN would make what the peer has got look complete.
        if matches!(lost, Lost::Aborted) && was_made && !self.0.fin_sent.get() {
            socket.iter().for_each(Socket::reset_on_close);
        }
        drop(socket);
        if !self.0.accepted {
            self.0.core.descriptor_freed();
        }
        let extra = self.0.extra.take();
        self.0.core.clean_up_timeouts();
        if let Some(producer) = extra.and_then(|extra| extra.producer) {
            log::contained(|| producer.stop_producing());
        }
        if let Some(mut protocol) = self.0.protocol.take() {
            protocol.connection_lost(self, lost);
        }
    }

    /// Closes the connection at once: in order if that was asked for and nothing is unsent, else by a reset.
    pub(in crate::reactor) fn end(&self) {
        self.finish_up();
        self.close(Lost::Aborted);
    }

    /// Closes the connection after its protocol has panicked and is gone.
    pub(in crate::reactor) fn give_up(&self) {
        self.0.in_call.set(false);
        self.close(Lost::Aborted);
    }

    #[cold]
    pub(super) fn break_down(&self, error: io::Error) {
        self.with_extra(|extra| extra.error = Some(error));
        self.advance_to(Phase::Aborted);
        self.request_turn();
    }
}
