//! The second thread of a waiting client: it reads what the client sends, and so learns at once when the client leaves,
//! while the first thread waits for the fetch.
//!
//! It goes on reading until the connection ends, because only that ends a blocked `recv`. (Shutting down the socket's read
//! side would too; but the kernel then answers what the client sends later with a reset, which can overtake the poem, S7.)

use std::io::{self, ErrorKind, Read};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use poetry::event::Wait;
use poetry::{CloseReason, panics};

use super::seat::{Outcome, Seat};
use crate::buffers::ReadBuffer;
use crate::connection::Connection;
use crate::deadlines::Wire;
use crate::ledger::Ledger;
use crate::net::HangUp;
use crate::permits::{PERMITS, threads_limit};
use crate::shutdown_state::ShutdownState;
use crate::workers;

/// The second threads of a proxy's clients. They are bounded, so that enough threads are left for its connections (T1).
#[derive(Debug)]
pub(crate) struct SecondThreads {
    running: AtomicUsize,
    max: usize,
}

/// One second thread.
#[derive(Debug)]
struct SecondThread<'s>(&'s SecondThreads);

impl SecondThreads {
    /// Leaves `first_threads` for connections, one to accept, and one to fetch.
    pub(crate) fn beside(first_threads: usize) -> Self {
        let others = first_threads.saturating_add(2);
        Self::at_most(threads_limit().saturating_sub(others))
    }

    /// Allows `max` at once.
    pub(crate) fn at_most(max: usize) -> Self {
        Self {
            running: AtomicUsize::new(0),
            max,
        }
    }

    /// Adding before comparing keeps two threads from taking the last place.
    fn take(&self) -> io::Result<SecondThread<'_>> {
        let running = self.running.fetch_add(1, Ordering::Relaxed);
        let one = SecondThread(self); // An error drops it, which subtracts it again.
        if running >= self.max {
            return Err(io::Error::other("the other threads are for connections"));
        }
        Ok(one)
    }
}

impl Drop for SecondThread<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for the outcome of `seat` and sends the poem, while a second thread reads from the client. Returns why the
/// connection closes.
///
/// # Errors
/// Fails if there is no second thread to be had. Nothing has happened then.
pub(crate) fn wait_watched<W: Wire>(
    seat: &Seat,
    second_threads: &SecondThreads,
    connection: &mut Connection<'_, W>,
) -> io::Result<CloseReason> {
    let _second = second_threads.take()?;
    let (reader, hang_up) = connection.wire.wire().reader()?;
    let watcher = Watcher {
        reader,
        seat,
        buffer: connection.buffer.another(),
        ledger: connection.ledger.of_reads(),
        state: connection.state,
    };
    thread::scope(|scope| {
        // Before the thread: if it ends at once, that counts.
        seat.reading_begins();
        let spawned =
            workers::spawn_scoped(&PERMITS, scope, move || panics::contain(|| watcher.run()))
                .inspect_err(|_| seat.reading_fails())?;
        // Dropped before the scope waits for the thread, also if this one panics.
        let end = EndOfReading { seat, hang_up };
        connection.ledger.waits(Wait::Task);
        let outcome = seat.wait();
        connection.ledger.runs();
        let reason = send(&outcome, seat, connection);
        drop(end);
        match spawned.join() {
            Ok(Ok(())) => Ok(reason),
            Ok(Err(message)) => resume_unwind(Box::new(message)),
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Sends the poem, if there is one, and waits until the other thread has read the client's FIN (S7).
fn send<W: Wire>(
    outcome: &Outcome,
    seat: &Seat,
    connection: &mut Connection<'_, W>,
) -> CloseReason {
    let poem = match outcome {
        Outcome::Arrived(poem) => poem,
        Outcome::Closed(reason) => return *reason,
    };
    if let Err((_, reason)) = connection.write_all(poem.as_bytes(), false) {
        return reason;
    }
    connection.ledger.answered(1);
    let limits = connection.limits;
    connection.linger_while(CloseReason::Done, |_| {
        seat.wait_until_read(limits.linger_bytes_max, limits.linger_timeout);
    })
}

/// Ends the other thread when it is dropped.
struct EndOfReading<'a> {
    seat: &'a Seat,
    hang_up: HangUp,
}

impl Drop for EndOfReading<'_> {
    fn drop(&mut self) {
        self.seat.stop_reading();
        self.hang_up.reading();
    }
}

/// The thread that reads from one client.
struct Watcher<'a, R> {
    reader: R,
    seat: &'a Seat,
    buffer: ReadBuffer<'a>,
    ledger: Ledger<'a>,
    state: &'a ShutdownState,
}

impl<R: Read> Watcher<'_, R> {
    /// Reads until the client has finished or the connection ends.
    fn run(mut self) {
        // If this thread panics, the guard says so.
        let mut ended = Ended {
            seat: self.seat,
            reason: CloseReason::Panic,
        };
        ended.reason = self.read_to_end();
    }

    /// Returns what the end means for a client that still waits.
    fn read_to_end(&mut self) -> CloseReason {
        loop {
            let read = self.reader.read(self.buffer.space());
            if self.state.is_cut() {
                return CloseReason::Cut;
            }
            match read {
                Ok(0) => return CloseReason::Left,
                Ok(length) => {
                    self.ledger.read(length);
                    self.buffer.adapt(length);
                    if !self.seat.discarded(length) {
                        return CloseReason::Left;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return CloseReason::Reset,
            }
        }
    }
}

/// Tells the seat that reading has ended.
struct Ended<'a> {
    seat: &'a Seat,
    reason: CloseReason,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.seat.reading_ends(self.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_second_threads_leave_enough_for_every_connection() {
        let limit = threads_limit();
        assert_eq!(SecondThreads::beside(limit - 12).max, 10);
        assert_eq!(SecondThreads::beside(usize::MAX).max, 0);
        let one = SecondThreads::at_most(1);
        let taken = one.take().unwrap();
        assert!(one.take().is_err());
        drop(taken);
        assert!(one.take().is_ok());
    }
}
