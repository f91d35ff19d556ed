//! The requests of one connection, for the servers that answer netstrings (S3, S8): reads them within the idle timeout and
//! the deadline for a request (S18), and refuses bytes that are not one. The loops that answer them are in
//! `transform_server.rs` and `library_server.rs`.

use std::time::Duration;

use poetry::event::Wait;
use poetry::netstring::Decoder;
use poetry::{CloseReason, Refusal};

use crate::buffers::ReadBuffer;
use crate::connection::Connection;
use crate::deadlines::{Stop, Timed, Wire};
use crate::ledger::Ledger;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Decodes what [`read`](Self::read) has read.
    pub(crate) decoder: Decoder,
    /// When a request that has begun must be complete (S18).
    deadline: Duration,
}

/// What happens after the replies are written.
pub(crate) enum Then {
    /// Read again.
    Continue,
    /// Close the connection, for this reason.
    Close(CloseReason),
}

impl Requests {
    /// Creates the requests of a new connection, each of at most `frame_bytes_max` bytes.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self {
            decoder: Decoder::new(frame_bytes_max),
            deadline: Duration::ZERO,
        }
    }

    /// Reads. In the middle of a request it waits until the request's deadline, between requests for the idle timeout.
    /// Returns 0 when the peer has finished sending.
    ///
    /// # Errors
    /// Returns the reason to close.
    #[inline]
    pub(crate) fn read<W: Wire>(
        &self,
        connection: &mut Connection<'_, W>,
    ) -> Result<usize, CloseReason> {
        let Connection {
            wire,
            buffer,
            state,
            limits,
            ledger,
            ..
        } = connection;
        ledger.waits(Wait::Read);
        let (read, on_timeout) = if self.decoder.is_mid_frame() {
            buffer.grow();
            let read = wire.read_until(buffer.space(), self.deadline);
            (read, CloseReason::Deadline)
        } else {
            buffer.shrink();
            let read = wire.read(buffer.space(), limits.idle_timeout);
            let read = read.and_then(|length| read_on(wire, buffer, length));
            (read, CloseReason::Idle)
        };
        ledger.runs();
        match read {
            Ok(0) if state.is_cut() => Err(CloseReason::Cut),
            Ok(0) => Ok(0),
            Ok(length) if connection.received(length) => Ok(length),
            Ok(_) if connection.state.is_cut() => Err(CloseReason::Cut),
            Ok(_) => Err(connection.linger(CloseReason::Done)),
            Err(stop) => Err(connection.close_reason(&stop, on_timeout)),
        }
    }

    /// Starts the deadline of a request that the last read has begun and not ended.
    #[inline]
    pub(crate) fn start_deadline<W: Wire>(&mut self, connection: &Connection<'_, W>) {
        let now = connection.wire.now();
        self.deadline = now.saturating_add(connection.limits.request_deadline);
    }

    /// The peer has finished sending: after a whole request, or in the middle of one.
    pub(crate) fn end<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        if !self.decoder.is_mid_frame() {
            return CloseReason::Done;
        }
        refuse_framing(Refusal::Truncated, &mut connection.ledger);
        connection.linger(CloseReason::Refused)
    }
}

/// After a read of `length` bytes, reads on without waiting if they filled the small buffer: requests that were sent at once
/// are then answered with one write. Returns the length of both reads.
///
/// # Errors
/// Fails if the connection broke, and with it every reply that was owed.
#[inline]
fn read_on<W: Wire>(
    wire: &mut Timed<W>,
    buffer: &mut ReadBuffer<'_>,
    length: usize,
) -> Result<usize, Stop> {
    let Some(space) = buffer.space_after(length) else {
        return Ok(length);
    };
    match wire.try_read(space) {
        Ok(more) => Ok(length + more),
        Err(Stop::TimedOut) => Ok(length),
        Err(lost) => Err(lost),
    }
}

/// Refuses bytes that are not a request.
#[cold]
pub(crate) fn refuse_framing(refusal: Refusal, ledger: &mut Ledger<'_>) -> Then {
    ledger.request();
    refuse(refusal, ledger)
}

/// Refuses the last request.
#[cold]
pub(crate) fn refuse(refusal: Refusal, ledger: &mut Ledger<'_>) -> Then {
    ledger.refused(refusal);
    Then::Close(CloseReason::Refused)
}
