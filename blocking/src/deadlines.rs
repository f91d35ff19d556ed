//! Deadlines for several blocking calls in a row, each of which only has a timeout of its own.
//!
//! Setting a timeout is a system call, so it is set only when it changes. An ordinary request then costs one `recv` and
//! one `send`, and reads no clock.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::Duration;

use crate::net::HangUp;

/// A byte stream whose calls block for a bounded time, with a clock.
pub(crate) trait Wire: Read + Write {
    /// Reads from the stream in a second thread.
    type Reader: Read + Send;

    /// Returns the time of a monotonic clock with any origin.
    fn now(&self) -> Duration;

    /// Sets the read timeout, which must not be zero. A read for which nothing arrives so long fails with `WouldBlock` or
    /// `TimedOut`.
    ///
    /// # Errors
    /// Returns the system's error.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Sets the write timeout, which must not be zero. A write of which no byte is taken so long fails with `WouldBlock` or
    /// `TimedOut`.
    ///
    /// # Errors
    /// Returns the system's error.
    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Writes as many bytes as are taken without waiting, and returns their number.
    ///
    /// # Errors
    /// Returns the system's error; `WouldBlock` if no byte is taken.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`try_write`](Self::try_write), of several pieces in a row.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    fn try_write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads what has arrived, without waiting. Returns 0 at the peer's FIN.
    ///
    /// # Errors
    /// Returns the system's error; `WouldBlock` if nothing has arrived.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Has the last segment of what [`try_write`](Self::try_write) takes wait for FIN, which must follow at once.
    fn send_with_fin(&mut self) {}

    /// Sends FIN after what has been written.
    ///
    /// # Errors
    /// Returns the system's error.
    fn finish(&mut self) -> io::Result<()>;

    /// Makes the close a reset, which discards what has not been sent yet.
    fn reset_when_closed(&mut self);

    /// Returns the stream for a second thread that only reads, without a timeout, and the handle that ends its reads.
    ///
    /// # Errors
    /// Fails if the stream cannot be read by two threads.
    fn reader(&mut self) -> io::Result<(Self::Reader, HangUp)>;

    /// Waits without reading; may return early.
    fn pause(&mut self, at_most: Duration);
}

/// Why a blocking call failed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It reached its timeout or deadline.
    TimedOut,
    /// The connection broke.
    Lost(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Lost(error),
        }
    }
}

/// A write that failed before its last byte was taken.
#[derive(Debug)]
pub(crate) struct CutShort {
    /// The number of bytes taken.
    pub(crate) taken: usize,
    /// Why it failed.
    pub(crate) stop: Stop,
}

/// A write timeout is divided into at least this many slices, one for each blocking call. A call returns how many bytes
/// were taken but not when. So the true limit is the timeout plus up to one slice.
const SLICES: u32 = 16;

/// The pieces of one vectored write: the kernel takes at most 1,024, and the list of them is on the stack, 16 bytes each.
pub(crate) const PIECES_AT_ONCE: usize = 64;

/// The longest that one blocking write may last. A thread that writes does not read, but a peer may take nothing until
/// the server has read what the peer sends. And only FIN, or a reset by the peer, wakes a blocked write; but after FIN a part
/// of a poem would look complete. So this often a thread looks what it has to discard, and whether the grace of a shutdown
/// is over.
const LONGEST_WRITE: Duration = Duration::from_millis(250);

/// How long a peer may take no byte, as a number of blocking calls, and optionally the deadline for the last byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTimeout {
    slice: Duration,
    slices: u32,
    deadline: Option<Duration>,
}

impl WriteTimeout {
    /// Divides `timeout` into equal slices, none longer than [`LONGEST_WRITE`].
    pub(crate) fn new(timeout: Duration) -> Self {
        let slice = (timeout / SLICES).clamp(SHORTEST, LONGEST_WRITE);
        let slices = timeout.as_nanos().div_ceil(slice.as_nanos());
        let slices = u32::try_from(slices).unwrap_or(u32::MAX).max(1);
        Self {
            slice,
            slices,
            deadline: None,
        }
    }

    /// Adds a `deadline` for the last byte: it holds even if the peer takes bytes all the time.
    #[must_use]
    pub(crate) fn until(self, deadline: Option<Duration>) -> Self {
        Self { deadline, ..self }
    }
}

/// The shortest timeout that is set: zero would mean none.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

/// A wire that sets its timeouts only when they change.
#[derive(Debug)]
pub(crate) struct Timed<W> {
    wire: W,
    /// The timeouts that are set on the wire; zero before the first is set.
    read_timeout: Duration,
    write_timeout: Duration,
}

impl<W: Wire> Timed<W> {
    /// Takes a new wire, with no timeouts set.
    pub(crate) fn new(wire: W) -> Self {
        Self {
            wire,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        }
    }

    /// Returns the time of the wire's clock.
    pub(crate) fn now(&self) -> Duration {
        self.wire.now()
    }

    /// Returns the wire itself.
    pub(crate) fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    // ANCHOR: timed_read
    /// Reads, and waits for up to `timeout`. Returns 0 at the peer's FIN. Reads no clock.
    ///
    /// # Errors
    /// Fails if nothing arrived in time, or the connection broke.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, Stop> {
        let timeout = timeout.max(SHORTEST);
        if self.read_timeout != timeout {
            self.wire.set_read_timeout(timeout)?;
            self.read_timeout = timeout;
        }
        loop {
            match self.wire.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }
    // ANCHOR_END: timed_read

    /// Reads what has arrived, without waiting. Returns 0 at the peer's FIN.
    ///
    /// # Errors
    /// Fails with [`Stop::TimedOut`] if nothing has arrived, or as the broken connection does.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        loop {
            match self.wire.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }

    /// Reads, and waits until `deadline`. Returns 0 at the peer's FIN.
    ///
    /// # Errors
    /// Fails if the deadline has passed, even if bytes have arrived, or the connection broke.
    pub(crate) fn read_until(
        &mut self,
        buffer: &mut [u8],
        deadline: Duration,
    ) -> Result<usize, Stop> {
        loop {
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return Err(Stop::TimedOut);
            }
            match self.read(buffer, left) {
                // The kernel rounds to its ticks and may return one tick early.
                Err(Stop::TimedOut) => {}
                read => return read,
            }
        }
    }

    /// Writes all of `bytes`. If all are taken at once, this is one system call, and sets no timeout. Otherwise
    /// `before_waiting` is called before each call that may block, with the number of bytes taken so far, and returns whether
    /// to go on.
    ///
    /// # Errors
    /// Fails if no byte was taken for `write_timeout`, its deadline has passed, or the connection broke; with
    /// [`Stop::TimedOut`] too if `before_waiting` ends it.
    #[inline]
    pub(crate) fn write_all(
        &mut self,
        bytes: &[u8],
        write_timeout: WriteTimeout,
        before_waiting: impl FnMut(&mut Self, usize) -> bool,
    ) -> Result<(), CutShort> {
        match self.wire.try_write(bytes) {
            Ok(taken) if taken == bytes.len() => Ok(()),
            Ok(taken) => self.write_rest(bytes, taken, write_timeout, before_waiting),
            Err(_) => self.write_rest(bytes, 0, write_timeout, before_waiting),
        }
    }

    /// As [`write_all`](Self::write_all), for several pieces: as many as are taken at once with one system call, and the
    /// others one after another.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all); the number of bytes taken is that of all pieces together.
    pub(crate) fn write_all_pieces<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p [u8]> + Clone,
        write_timeout: WriteTimeout,
        mut before_waiting: impl FnMut(&mut Self, usize) -> bool,
    ) -> Result<(), CutShort> {
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        let first = pieces.clone().zip(&mut slices);
        let count = first
            .map(|(piece, slice)| *slice = IoSlice::new(piece))
            .count();
        let mut taken = self.wire.try_write_vectored(&slices[..count]).unwrap_or(0);
        let mut end = 0;
        for piece in pieces {
            let begin = end;
            end += piece.len();
            if taken < end {
                let before = |wire: &mut Self, more| before_waiting(wire, begin + more);
                let rest = self.write_rest(piece, taken - begin, write_timeout, before);
                rest.map_err(|CutShort { taken, stop }| CutShort {
                    taken: begin + taken,
                    stop,
                })?;
                taken = end;
            }
        }
        Ok(())
    }

    #[cold]
    fn write_rest(
        &mut self,
        bytes: &[u8],
        mut taken: usize,
        write_timeout: WriteTimeout,
        mut before_waiting: impl FnMut(&mut Self, usize) -> bool,
    ) -> Result<(), CutShort> {
        let mut idle_slices = 0;
        while taken < bytes.len() {
            let goes_on = before_waiting(self, taken);
            let left = write_timeout.deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_sub(self.now())
            });
            if !goes_on || left.is_zero() {
                let stop = Stop::TimedOut;
                return Err(CutShort { taken, stop });
            }
            match self.write(&bytes[taken..], write_timeout.slice.min(left)) {
                Ok(more) => {
                    taken += more;
                    idle_slices = 0;
                }
                Err(Stop::TimedOut) if idle_slices + 1 < write_timeout.slices => idle_slices += 1,
                // The kernel wakes no writer for little room, so the peer may have taken bytes in the last slice (S18).
                Err(Stop::TimedOut) if let Ok(more) = self.wire.try_write(&bytes[taken..]) => {
                    taken += more;
                    idle_slices = 0;
                }
                Err(stop) => return Err(CutShort { taken, stop }),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<usize, Stop> {
        let timeout = timeout.max(SHORTEST);
        if self.write_timeout != timeout {
            self.wire.set_write_timeout(timeout)?;
            self.write_timeout = timeout;
        }
        loop {
            match self.wire.write(bytes) {
                Ok(0) => return Err(Stop::Lost(ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Ok(written?),
            }
        }
    }
}
