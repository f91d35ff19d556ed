//! One connection of a server, as its thread sees it: reading, writing, and closing without losing a reply.

use std::time::Duration;

use poetry::event::Wait;
use poetry::{CloseReason, Limits};

use crate::buffers::ReadBuffer;
use crate::deadlines::{CutShort, Stop, Timed, Wire, WriteTimeout};
use crate::ledger::Ledger;
use crate::shutdown_state::ShutdownState;

/// Bytes discarded between two writes: a peer that never stops sending must not keep the thread from writing.
const DISCARD_MAX: usize = 1 << 20;

/// A connection, owned by the thread that serves it.
#[derive(Debug)]
pub(crate) struct Connection<'a, W> {
    /// The byte stream.
    pub(crate) wire: Timed<W>,
    /// The buffer that reads fill.
    pub(crate) buffer: ReadBuffer<'a>,
    /// Counts and reports what happens.
    pub(crate) ledger: Ledger<'a>,
    /// What a shutdown wants of this connection.
    pub(crate) state: &'a ShutdownState,
    /// The server's bounds.
    pub(crate) limits: &'a Limits,
    /// How long the peer may take no byte.
    pub(crate) write_timeout: WriteTimeout,
    /// Whether everything owed has been written, and FIN after it.
    pub(crate) lingers: bool,
}

impl<W: Wire> Connection<'_, W> {
    /// Notes that a read brought `length` bytes of a request. Returns false if a shutdown has closed the connection.
    #[inline]
    pub(crate) fn received(&mut self, length: usize) -> bool {
        let open = self.state.mark_busy(); // Before the bytes are counted: see `shutdown_state`.
        self.ledger.read(length);
        open
    }

    /// Writes replies with `write`. With `then_idle`, nothing is in flight after them, and false is returned if a shutdown
    /// wants the connection closed.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    #[inline]
    pub(crate) fn write_replies(
        &mut self,
        then_idle: bool,
        write: impl FnOnce(&mut Self) -> Result<(), (usize, CloseReason)>,
    ) -> Result<bool, (usize, CloseReason)> {
        if then_idle {
            self.state.mark_idle(); // Before the write: see `shutdown_state`.
        }
        write(self)?;
        // Once more, since a write that had to wait has marked it busy again.
        Ok(!then_idle || self.state.mark_idle())
    }

    /// Writes all of `bytes`, unless the peer takes none for the write timeout (S18). A thread that writes does not
    /// read; with `discards_input`, it discards what has arrived before each call that may block.
    ///
    /// # Errors
    /// Returns the number of bytes taken, and the reason to close.
    #[inline]
    pub(crate) fn write_all(
        &mut self,
        bytes: &[u8],
        discards_input: bool,
    ) -> Result<(), (usize, CloseReason)> {
        self.write(bytes.len(), discards_input, |wire, timeout, before| {
            wire.write_all(bytes, timeout, before)
        })
    }

    /// As [`write_all`](Self::write_all), for several pieces in a row, as many as possible with one system call.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all); the number of bytes taken is that of all pieces together.
    pub(crate) fn write_all_pieces<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Result<(), (usize, CloseReason)> {
        let length = pieces.clone().map(<[u8]>::len).sum();
        self.write(length, false, |wire, timeout, before| {
            wire.write_all_pieces(pieces, timeout, before)
        })
    }

    /// Writes `length` bytes with `write`, which calls its last argument before each call that may block. Counts the bytes.
    #[inline]
    fn write(
        &mut self,
        length: usize,
        discards_input: bool,
        write: impl FnOnce(
            &mut Timed<W>,
            WriteTimeout,
            &mut dyn FnMut(&mut Timed<W>, usize) -> bool,
        ) -> Result<(), CutShort>,
    ) -> Result<(), (usize, CloseReason)> {
        let Self {
            wire,
            buffer,
            ledger,
            state,
            ..
        } = self;
        let mut counted = 0;
        let mut waited = false;
        let written = write(wire, self.write_timeout, &mut |wire, taken| {
            state.mark_busy();
            if std::mem::replace(&mut waited, true) {
                ledger.runs();
            }
            ledger.wrote(taken - counted);
            counted = taken;
            if discards_input {
                discard(wire, buffer, ledger);
            }
            ledger.waits(Wait::Write);
            !state.is_cut()
        });
        let taken = match &written {
            Ok(()) => length,
            Err(CutShort { taken, .. }) => *taken,
        };
        if waited {
            self.ledger.runs();
        }
        self.ledger.wrote(taken - counted);
        written
            .map_err(|CutShort { stop, .. }| (taken, self.close_reason(&stop, CloseReason::Write)))
    }

    /// Returns the reason to close after a blocking call has failed with `stop`; after a timeout that is `on_timeout`.
    pub(crate) fn close_reason(&self, stop: &Stop, on_timeout: CloseReason) -> CloseReason {
        match stop {
            _ if self.state.is_cut() => CloseReason::Cut,
            Stop::TimedOut => on_timeout,
            Stop::Lost(_) => CloseReason::Reset,
        }
    }

    // ANCHOR: linger
    /// Closes without losing what was written (S7). Closing a socket with unread input sends a reset, which can overtake
    /// the reply. So this sends FIN first and then reads what the peer still sends, within bounds.
    pub(crate) fn linger(&mut self, reason: CloseReason) -> CloseReason {
        let deadline = self.wire.now().saturating_add(self.limits.linger_timeout);
        let mut left = self.limits.linger_bytes_max;
        self.linger_while(reason, |connection| {
            connection.ledger.waits(Wait::Read);
            while left > 0 && !connection.state.is_cut() {
                match (connection.wire).read_until(connection.buffer.space(), deadline) {
                    Ok(length) if length > 0 => {
                        connection.ledger.read(length);
                        connection.buffer.grow();
                        left = left.saturating_sub(length);
                    }
                    _ => break,
                }
            }
            connection.ledger.runs();
        })
    }
    // ANCHOR_END: linger

    /// Sends FIN and, if that succeeds, drains the input with `drain`. Returns the reason to close.
    pub(crate) fn linger_while(
        &mut self,
        reason: CloseReason,
        drain: impl FnOnce(&mut Self),
    ) -> CloseReason {
        self.lingers = true;
        if self.wire.wire().finish().is_ok() {
            drain(self);
        }
        if self.state.is_cut() {
            return CloseReason::Cut;
        }
        reason
    }

    /// Makes the close that follows a reset if something is owed to the peer: FIN would make a part of it, or nothing, look
    /// complete (S9, S21). A connection that lingers is owed nothing more.
    pub(crate) fn prepare_close(&mut self, reason: CloseReason) {
        use CloseReason::{Cut, Left, Panic, Upstream, Write};
        if matches!(reason, Cut | Left | Panic | Upstream | Write) && !self.lingers {
            self.wire.wire().reset_when_closed();
        }
    }

    /// Reads and discards until `deadline`. Returns true if the peer finished sending before it.
    ///
    /// # Errors
    /// Returns the reason to close.
    pub(crate) fn discard_until(&mut self, deadline: Duration) -> Result<bool, CloseReason> {
        loop {
            match self.wire.read_until(self.buffer.space(), deadline) {
                Ok(_) if self.state.is_cut() => return Err(CloseReason::Cut),
                Ok(0) => return Ok(true),
                Ok(length) => self.ledger.read(length),
                Err(Stop::TimedOut) => return Ok(false),
                Err(stop) => return Err(self.close_reason(&stop, CloseReason::Reset)),
            }
        }
    }
}

/// Reads and discards what has arrived, at most [`DISCARD_MAX`] bytes. An error is ignored, since the next write meets it
/// too.
#[cold]
fn discard<W: Wire>(wire: &mut Timed<W>, buffer: &mut ReadBuffer<'_>, ledger: &Ledger<'_>) {
    buffer.grow();
    let mut left = DISCARD_MAX;
    while left > 0 {
        match wire.try_read(buffer.space()) {
            Ok(length) if length > 0 => {
                ledger.read(length);
                left = left.saturating_sub(length);
            }
            _ => break,
        }
    }
}
