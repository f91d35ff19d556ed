//! How a connection ends: by FIN, late, at a shutdown, or after a crash.

use poetry::{CloseReason, Refusal};

use super::{Answers, Connection, Phase};
use crate::linger::LastReplies;
use crate::monitor::Reason;
use crate::port::Stream;
use crate::process::{Me, Next};

impl<S: Stream, A: Answers> Connection<S, A> {
    /// FIN arrived. Between two requests it ends the connection (S6); within a request it is a refusal.
    pub(super) fn peer_finished(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.peer_finished = true;
        match self.phase {
            Phase::Open if self.decoder.is_mid_frame() => {
                self.ledger.request();
                self.ledger.refused(Refusal::Truncated);
                self.linger(CloseReason::Refused, me)
            }
            Phase::Open => self.linger(CloseReason::Done, me),
            Phase::Offloading(_) | Phase::Closing(_) | Phase::Lingering(..) => Next::Receive,
        }
    }

    pub(super) fn time_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        if !self.replies.is_empty() {
            return match self.replies.write_unannounced(&self.ledger, me) {
                Ok(0) => self.close(CloseReason::Write),
                written => self.on_written(written, me),
            };
        }
        match me.port.look_again() {
            true => Next::Receive,
            false => self.looked(true, me),
        }
    }

    /// The connection is late, and what was in the kernel is read: a request that is complete now is answered (S18).
    pub(super) fn looked(&mut self, found: bool, me: &mut Me<'_, Self>) -> Next {
        let deadline = self.ledger.limits().request_deadline;
        let due = self.begun.map(|begun| begun.saturating_add(deadline));
        match (&self.phase, due) {
            (Phase::Open, Some(due)) if due <= me.now() => self.close(CloseReason::Deadline),
            (Phase::Open, None) if !found => self.close(CloseReason::Idle),
            _ => self.after_delivery(me),
        }
    }

    // ANCHOR: shutdown
    /// The supervisor asks the connection to stop: at once if it is idle, otherwise after its requests in flight (S21).
    pub(super) fn shut_down(&mut self, reason: Reason, me: &mut Me<'_, Self>) -> Next {
        if !reason.is_shutdown() {
            // The supervisor has ended.
            return Next::Exit(Reason::Killed);
        }
        if matches!(self.phase, Phase::Open) && !self.is_in_flight(me) {
            return Next::Exit(Reason::Shutdown);
        }
        self.draining = true;
        Next::Receive
    }
    // ANCHOR_END: shutdown

    /// A handler panicked: another process delivers the replies to the requests before the one that crashed (S20).
    pub(super) fn hand_over(&mut self, message: &str, me: &mut Me<'_, Self>) {
        self.ledger.panicked(message);
        self.ledger.failed(u64::from(self.answering));
        let replies = std::mem::take(&mut self.replies);
        LastReplies::take_over(self.ledger.clone(), replies, self.peer_finished, me);
    }

    /// Closes immediately, without lingering.
    pub(super) fn close(&mut self, reason: CloseReason) -> Next {
        self.phase = Phase::Closing(reason);
        Next::Exit(Reason::Normal)
    }
}
