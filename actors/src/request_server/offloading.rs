//! A connection's heavy request (S25): the workers answer it, and the connection waits for their message.

use poetry::CloseReason;

use super::{Answers, Connection, Phase};
use crate::monitor::Reason;
use crate::port::Stream;
use crate::process::{Me, Next};
use crate::workers::{self, Answer};

impl<S: Stream, A: Answers> Connection<S, A> {
    // ANCHOR: offload
    /// Asks the workers for the reply to the heavy request, once the replies before it are delivered. It comes as a message.
    #[cold]
    pub(super) fn offload(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.port.set_active(false);
        me.forever();
        if let Phase::Offloading(offloading) = &mut self.phase
            && !offloading.ask(me)
        {
            return self.offloaded(Err(workers::GONE.to_owned()), me);
        }
        Next::Receive
    }

    /// A worker has answered, or has crashed, which crashes this connection too (S20).
    #[cold]
    pub(super) fn offloaded(&mut self, answer: Answer<A::Replies>, me: &mut Me<'_, Self>) -> Next {
        let Phase::Offloading(offloading) = &self.phase else {
            return Next::Receive;
        };
        offloading.demonitor(me);
        self.phase = match self.service.keep_alive() {
            true => Phase::Open,
            false => Phase::Closing(CloseReason::Done),
        };
        me.port.set_active(!self.peer_finished);
        match answer {
            Ok(Ok(reply)) => self.replies.put(reply),
            Ok(Err(refusal)) => {
                self.ledger.refused(refusal);
                self.phase = Phase::Closing(CloseReason::Refused);
            }
            Err(message) => {
                self.answering = true;
                return Next::Exit(Reason::crash(message));
            }
        }
        self.deliver(me)
    }
    // ANCHOR_END: offload
}
