//! One connection as its thread sees it, and the one word about it that other threads share: its [`Standing`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use poetry::{CloseReason, Limits};

use crate::buffers::ReadBuffer;
use crate::deadlines::{CutShort, Stop, Timed, Wire, WriteTimeout};
use crate::ledger::Ledger;

/// Where a connection stands between its thread and a shutdown (S21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Nothing is in flight.
    Idle,
    /// Something is in flight.
    Busy,
    /// It was idle when the shutdown came, and has been hung up.
    HungUp,
    /// Something was in flight when the shutdown came; it is the last.
    Last,
    /// The grace is over, and it has been hung up.
    Cut,
}

/// What a connection's thread and a shutdown know of each other.
#[derive(Debug)]
pub struct Standing(AtomicU8);

impl Standing {
    /// A connection with something in flight, or idle.
    pub fn new(in_flight: bool) -> Self {
        let state = if in_flight { State::Busy } else { State::Idle };
        Self(AtomicU8::new(state as u8))
    }

    /// Nothing is in flight any more, or will not be when what is now written has been taken. False when the
    /// connection is to be closed then.
    #[inline]
    pub fn rest(&self) -> bool {
        self.is(State::Idle) || self.change(State::Busy, State::Idle)
    }

    /// Something is in flight. False when the connection has been hung up.
    #[inline]
    pub fn work(&self) -> bool {
        self.change(State::Idle, State::Busy) || self.is(State::Busy) || self.is(State::Last)
    }

    /// Whether a shutdown has cut the connection.
    pub fn is_cut(&self) -> bool {
        self.is(State::Cut)
    }

    /// A shutdown begins. True if something is in flight, which is then the last; otherwise the connection is to be
    /// hung up.
    pub fn stop(&self) -> bool {
        !self.change(State::Idle, State::HungUp) && self.change(State::Busy, State::Last)
    }

    /// The grace is over. The connection is to be hung up.
    pub fn cut(&self) {
        self.0.store(State::Cut as u8, Ordering::Release);
    }

    fn is(&self, state: State) -> bool {
        self.0.load(Ordering::Acquire) == state as u8
    }

    #[inline]
    fn change(&self, from: State, to: State) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Bytes thrown away between two writes: a peer that never stops sending must not keep us from writing.
const DISCARD_MAX: usize = 1 << 20;

/// A connection in the hands of the thread that serves it.
#[derive(Debug)]
pub struct Connection<'a, W> {
    /// Its bytes.
    pub wire: Timed<W>,
    /// What reads go into.
    pub buffer: ReadBuffer<'a>,
    /// What is said of it.
    pub ledger: Ledger<'a>,
    /// What a shutdown wants of it.
    pub standing: &'a Standing,
    /// The server's bounds.
    pub limits: &'a Limits,
    /// How long the peer may refuse to take a byte.
    pub write_timeout: WriteTimeout,
}

impl<W: Wire> Connection<'_, W> {
    /// Writes all of `bytes`, unless the peer takes none for the write timeout (S18). A thread that writes does not
    /// read; if it `hears`, it throws away what has come before each call that may block.
    ///
    /// # Errors
    /// How many bytes were taken, and the reason to close.
    #[inline]
    pub fn write_all(&mut self, bytes: &[u8], hears: bool) -> Result<(), (usize, CloseReason)> {
        let Self {
            wire,
            buffer,
            ledger,
            standing,
            ..
        } = self;
        let mut counted = 0;
        let written = wire.write_all(bytes, self.write_timeout, |wire, taken| {
            standing.work();
            ledger.wrote(taken - counted);
            counted = taken;
            if hears {
                discard(wire, buffer, ledger);
            }
        });
        let taken = match &written {
            Ok(()) => bytes.len(),
            Err(CutShort { taken, .. }) => *taken,
        };
        self.ledger.wrote(taken - counted);
        written.map_err(|CutShort { stop, .. }| (taken, self.why(&stop, CloseReason::Write)))
    }

    /// Why a connection closes that a blocking call stopped at: `late`, if its time was over.
    pub fn why(&self, stop: &Stop, late: CloseReason) -> CloseReason {
        match stop {
            _ if self.standing.is_cut() => CloseReason::Cut,
            Stop::TimedOut => late,
            Stop::Lost(_) => CloseReason::Reset,
        }
    }

    // ANCHOR: linger
    /// Closes so that nothing that was written is lost (S7): closing a socket with unread input would send a reset,
    /// which overtakes the reply. So FIN first, then whatever the peer still sends is read, within bounds.
    pub fn linger(&mut self, reason: CloseReason) -> CloseReason {
        let deadline = self.wire.now().saturating_add(self.limits.linger_timeout);
        let mut left = self.limits.linger_bytes_max;
        let mut finished = self.wire.wire().finish().is_err();
        while !finished && left > 0 {
            match self.wire.read_until(self.buffer.space(), deadline) {
                Ok(length) if length > 0 => {
                    self.ledger.read(length);
                    self.buffer.grow();
                    left = left.saturating_sub(length);
                }
                _ => finished = true,
            }
        }
        if self.standing.is_cut() {
            return CloseReason::Cut;
        }
        reason
    }
    // ANCHOR_END: linger

    /// Reads and throws away what comes until `deadline`. True when the peer has finished sending before it.
    ///
    /// # Errors
    /// The reason to close.
    pub fn discard_until(&mut self, deadline: Duration) -> Result<bool, CloseReason> {
        loop {
            match self.wire.read_until(self.buffer.space(), deadline) {
                Ok(0) if self.standing.is_cut() => return Err(CloseReason::Cut),
                Ok(0) => return Ok(true),
                Ok(length) => self.ledger.read(length),
                Err(Stop::TimedOut) => return Ok(false),
                Err(stop) => return Err(self.why(&stop, CloseReason::Reset)),
            }
        }
    }
}

/// Reads and throws away what is there, within bounds. What goes wrong here goes wrong in the next write too.
#[cold]
fn discard<W: Wire>(wire: &mut Timed<W>, buffer: &mut ReadBuffer<'_>, ledger: &Ledger<'_>) {
    buffer.grow();
    let mut left = DISCARD_MAX;
    while left > 0 {
        match wire.read(buffer.space(), Duration::ZERO) {
            Ok(length) if length > 0 => {
                ledger.read(length);
                left = left.saturating_sub(length);
            }
            _ => break,
        }
    }
}
