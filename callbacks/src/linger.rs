//! The lingering close (S7). Closing a socket with unread input sends a reset, which may overtake the last reply. So the
//! write side ends first, and input is drained for a bounded time and number of bytes.

use poetry::Limits;

use crate::protocol::Producer;
use crate::reactor::Transport;

/// How many bytes a lingering connection still drains. Small, since every connection has room for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linger {
    bytes_left: u32,
}

// ANCHOR: linger
impl Linger {
    /// Sends FIN and waits for the peer's.
    pub(crate) fn begin(transport: &Transport, limits: &Limits) -> Self {
        transport.lose_write_connection();
        transport.resume_producing();
        transport.set_timeout(Some(limits.linger_timeout));
        Self {
            bytes_left: u32::try_from(limits.linger_bytes_max).unwrap_or(u32::MAX),
        }
    }

    /// Discards `bytes` of input. A peer that sends too many is closed.
    pub(crate) fn drain(&mut self, transport: &Transport, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => transport.lose_connection(),
        }
    }
}
// ANCHOR_END: linger
