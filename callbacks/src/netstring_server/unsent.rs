//! Replies that the kernel did not take at once: kept until it has, and counted as answered reply by reply (S23).

use super::{NetstringProtocol, Replies, Service};
use crate::protocol::Producer;
use crate::reactor::Transport;

/// Replies that the kernel did not take at once.
pub(super) struct Unsent<R> {
    replies: R,
    /// Bytes taken by the kernel.
    taken: usize,
    /// Bytes of the replies that were taken whole and are counted as answered.
    answered: usize,
}

impl<S: Service> NetstringProtocol<S> {
    #[cold]
    pub(super) fn keep_unsent(
        &mut self,
        transport: &Transport,
        replies: &mut S::Replies,
        taken: usize,
    ) {
        transport.pause_producing();
        self.unsent = Some(Box::new(Unsent {
            replies: replies.keep(),
            taken,
            answered: 0,
        }));
        self.count_answered(transport);
        self.set_timeout(transport);
    }

    /// Offers unsent replies again; returns whether all have been taken. Only bytes that are taken restart the write timeout
    /// (S18): the kernel may announce room that is not there.
    pub(super) fn send_unsent(&mut self, transport: &Transport) -> bool {
        let Some(unsent) = &mut self.unsent else {
            return true;
        };
        let taken = unsent.replies.offer(transport, unsent.taken);
        unsent.taken += taken;
        self.guard.on_bytes_written(transport, taken);
        self.count_answered(transport);
        if self.unsent.is_some() && taken > 0 {
            self.set_timeout(transport);
        }
        self.unsent.is_none()
    }

    /// Counts the replies that have been taken to the last byte.
    fn count_answered(&mut self, transport: &Transport) {
        let Some(unsent) = &mut self.unsent else {
            return;
        };
        let whole = unsent.replies.whole(unsent.answered, unsent.taken);
        unsent.answered += whole.bytes;
        if unsent.answered == unsent.replies.bytes() {
            self.unsent = None;
        }
        self.guard.on_answered(transport, whole.frames as u32);
    }
}
