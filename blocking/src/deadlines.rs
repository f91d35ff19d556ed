//! Deadlines that are totals, made of blocking calls that each know only a timeout of their own.
//!
//! A timeout is a system call to set, so it is set only when it changes: a connection that asks and is answered
//! without haste costs one `recv` and one `send` a request, and reads no clock.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

/// A byte stream whose calls block for a bounded time, and that knows what time it is.
pub trait Wire: Read + Write {
    /// The time on a monotonic clock whose origin does not matter.
    fn now(&self) -> Duration;

    /// Reads that get nothing for `timeout`, which is not zero, fail as `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// Those of the system.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Writes of which nothing is taken for `timeout`, which is not zero, fail as `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// Those of the system.
    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Writes without waiting as much as is taken at once; `WouldBlock` if that is nothing.
    ///
    /// # Errors
    /// Those of the system.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Sends FIN after what has been written.
    ///
    /// # Errors
    /// Those of the system.
    fn finish(&mut self) -> io::Result<()>;

    /// Waits without reading; may return early.
    fn pause(&mut self, at_most: Duration);

    /// Lets other threads have the core, if any want it.
    fn yield_now(&mut self);
}

/// Why a blocking call came back without what it was for.
#[derive(Debug)]
pub enum Stop {
    /// Its time was over.
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

/// A write that ended before its last byte was taken.
#[derive(Debug)]
pub struct CutShort {
    /// Bytes that were taken.
    pub taken: usize,
    /// Why no more were.
    pub stop: Stop,
}

/// A write timeout is waited for in this many calls at least. A call tells how many bytes were taken but not when,
/// so a peer may be silent for the timeout and one call more.
const SLICES: u32 = 16;

/// How long a peer may refuse to take a byte: some blocking calls in a row; and when all must have been taken, if that
/// is bounded too.
#[derive(Debug, Clone, Copy)]
pub struct WriteTimeout {
    slice: Duration,
    slices: u32,
    deadline: Option<Duration>,
}

impl WriteTimeout {
    /// `timeout`, in calls of equal length none of which lasts longer than `longest`.
    pub fn new(timeout: Duration, longest: Duration) -> Self {
        let slice = (timeout / SLICES).clamp(SHORTEST, longest.max(SHORTEST));
        let slices = timeout.as_nanos().div_ceil(slice.as_nanos());
        let slices = u32::try_from(slices).unwrap_or(u32::MAX).max(1);
        Self {
            slice,
            slices,
            deadline: None,
        }
    }

    /// The same, and an end at `deadline` however many bytes are taken.
    #[must_use]
    pub fn until(self, deadline: Option<Duration>) -> Self {
        Self { deadline, ..self }
    }
}

/// The shortest timeout that is set: none at all would mean to wait for ever.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

/// A wire whose timeouts are set only when they change.
#[derive(Debug)]
pub struct Timed<W> {
    wire: W,
    /// As they are set; zero if they are not.
    read_timeout: Duration,
    write_timeout: Duration,
}

impl<W: Wire> Timed<W> {
    /// A wire that has just been made, with no timeouts set.
    pub fn new(wire: W) -> Self {
        Self {
            wire,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        }
    }

    /// The time on the wire's clock.
    pub fn now(&self) -> Duration {
        self.wire.now()
    }

    /// The wire itself.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Reads what there is, or waits for it as long as `timeout`; 0 is the peer's FIN. Reads no clock.
    ///
    /// # Errors
    /// Nothing came in time, or the connection broke.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, Stop> {
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

    /// Reads what there is, or waits for it until `deadline`, however many reads that takes; 0 is the peer's FIN.
    ///
    /// # Errors
    /// The deadline has passed, even if there would be something to read, or the connection broke.
    pub fn read_until(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, Stop> {
        loop {
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return Err(Stop::TimedOut);
            }
            match self.read(buffer, left) {
                // The kernel counts in ticks: it may be early by one.
                Err(Stop::TimedOut) => {}
                read => return read,
            }
        }
    }

    /// Writes all of `bytes`. What is taken at once costs one call and sets no timeout; `before_waiting` is called
    /// before each call that may block, with the number of bytes taken until then.
    ///
    /// # Errors
    /// Nothing was taken for all of `write_timeout`, its deadline has passed, or the connection broke.
    #[inline]
    pub fn write_all(
        &mut self,
        bytes: &[u8],
        write_timeout: WriteTimeout,
        before_waiting: impl FnMut(&mut Self, usize),
    ) -> Result<(), CutShort> {
        match self.wire.try_write(bytes) {
            Ok(taken) if taken == bytes.len() => Ok(()),
            Ok(taken) => self.write_rest(bytes, taken, write_timeout, before_waiting),
            Err(_) => self.write_rest(bytes, 0, write_timeout, before_waiting),
        }
    }

    #[cold]
    fn write_rest(
        &mut self,
        bytes: &[u8],
        mut taken: usize,
        write_timeout: WriteTimeout,
        mut before_waiting: impl FnMut(&mut Self, usize),
    ) -> Result<(), CutShort> {
        let mut silent = 0;
        while taken < bytes.len() {
            before_waiting(self, taken);
            let left = write_timeout.deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_sub(self.now())
            });
            if left.is_zero() {
                let stop = Stop::TimedOut;
                return Err(CutShort { taken, stop });
            }
            match self.write(&bytes[taken..], write_timeout.slice.min(left)) {
                Ok(more) => {
                    taken += more;
                    silent = 0;
                }
                Err(Stop::TimedOut) if silent + 1 < write_timeout.slices => silent += 1,
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
