//! The lingering close (S7): a socket closed with unread input sends a reset, which may overtake the last reply. So the
//! write side ends first, and what still comes is drained, for a while and to an amount.

use poetry::Limits;

use crate::protocol::Producer;
use crate::reactor::Transport;

/// What a lingering connection has still to drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linger {
    bytes_left: usize,
}

// ANCHOR: linger
impl Linger {
    /// Everything has been sent: says so to the peer, and waits for the peer to say the same.
    pub(crate) fn begin(transport: &Transport, limits: &Limits) -> Self {
        transport.lose_write_connection();
        transport.resume_producing();
        transport.set_timeout(Some(limits.linger_timeout));
        Self {
            bytes_left: limits.linger_bytes_max,
        }
    }

    /// Discards what came; a peer that goes on for too long is closed.
    pub(crate) fn drain(&mut self, transport: &Transport, bytes: usize) {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => transport.lose_connection(),
        }
    }
}
// ANCHOR_END: linger
