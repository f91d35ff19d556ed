//! A socket in memory whose network is an adversary: it reads and writes little at a time, often would block for no reason, and
//! announces room that is not there.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::simulation::log::{Log, Step};
use ::simulation::plan::Act;
use fastrand::Rng;

use crate::port::{IoData, Stream};
use crate::process::virtual_now;
use crate::testing::bytes_of;

/// Calls of one socket, beyond which the server is in a busy loop: plans send and take a few thousand bytes.
const CALLS_MAX: u32 = 200_000;

/// Calls at one time that the adversary may disturb. The test clock moves on after so many turns, so the calls after them do as much as
/// they can.
const DISTURBED_MAX: u32 = 20;

/// One socket. Clones are the same; the server's closes it when it is dropped.
#[derive(Clone)]
pub(crate) struct Socket(Arc<Mutex<Wire>>);

/// The server's end of a socket.
pub(crate) struct Served(Socket);

struct Wire {
    arrived: VecDeque<u8>,
    finished: bool,
    /// The peer has reset the connection.
    reset: bool,
    room: usize,
    aborted: bool,
    /// The server's task, if it waits for this socket.
    waker: Option<Waker>,
    calls: u32,
    /// The calls at the time of the last.
    disturbed: (Duration, u32),
    /// The calls of all sockets.
    all_calls: Arc<AtomicU64>,
    log: Log,
    rng: Rng,
}

impl Socket {
    pub(crate) fn new(room: usize, all_calls: Arc<AtomicU64>, rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(Wire {
            arrived: VecDeque::new(),
            finished: false,
            reset: false,
            room,
            aborted: false,
            waker: None,
            calls: 0,
            disturbed: (Duration::ZERO, 0),
            all_calls,
            log: Log::default(),
            rng,
        })))
    }

    /// The server gets its end.
    pub(crate) fn accept(self) -> Served {
        self.wire().log.note(virtual_now(), Step::Accepted);
        Served(self)
    }

    /// When it was accepted, or connected, if it was.
    pub(crate) fn accepted_at(&self) -> Option<Duration> {
        self.wire().log.first(|step| *step == Step::Accepted)
    }

    /// The peer acts.
    pub(crate) fn act(&self, act: &Act) {
        let mut wire = self.wire();
        match act {
            Act::Send(bytes) => {
                wire.note_if_open(Step::Sent(bytes.clone()));
                wire.arrived.extend(bytes);
            }
            Act::Finish => {
                wire.note_if_open(Step::Finished);
                wire.finished = true;
            }
            Act::Reset => {
                wire.note_if_open(Step::Reset);
                wire.reset = true;
                if wire.rng.bool() {
                    // Not every system delivers what came before a reset.
                    wire.arrived.clear();
                }
            }
            Act::Take(bytes) => wire.room = wire.room.saturating_add(*bytes),
        }
        let waker = wire.waker.take();
        drop(wire);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn note_if_open(&self, step: Step) {
        self.wire().note_if_open(step);
    }

    pub(crate) fn take_log(&self) -> Log {
        std::mem::take(&mut self.wire().log)
    }

    /// A panic of the server leaves the state consistent.
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    fn note_if_open(&mut self, step: Step) {
        if self.log.closed().is_none() {
            self.log.note(virtual_now(), step);
        }
    }

    /// Begins a call of the server. Returns whether the adversary may disturb it.
    fn call(&mut self) -> bool {
        self.calls += 1;
        self.all_calls.fetch_add(1, Ordering::Relaxed);
        assert!(self.calls < CALLS_MAX, "the server is in a busy loop");
        let now = virtual_now();
        self.disturbed = match self.disturbed {
            (at, calls) if at == now => (at, calls + 1),
            _ => (now, 0),
        };
        self.disturbed.1 < DISTURBED_MAX
    }

    /// As `call`. Now and then it would block, although the system has announced something.
    fn poll_call(&mut self, turn: &Context<'_>) -> Poll<()> {
        if self.call() && self.rng.u8(0..6) == 0 {
            turn.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn wait<T>(&mut self, turn: &Context<'_>) -> Poll<T> {
        self.waker = Some(turn.waker().clone());
        Poll::Pending
    }

    /// Some of `most` bytes, at least one.
    fn some(&mut self, most: usize) -> usize {
        match self.disturbed.1 < DISTURBED_MAX && self.rng.bool() {
            true => self.rng.usize(1..=most),
            false => most,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = self.arrived.len().min(buffer.len());
        if most > 0 {
            let count = self.some(most);
            for (place, byte) in buffer.iter_mut().zip(self.arrived.drain(..count)) {
                *place = byte;
            }
            self.log.note(virtual_now(), Step::Read(count));
            return Poll::Ready(Ok(count));
        }
        match (self.reset, self.finished) {
            (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Poll::Ready(Ok(0)),
            (false, false) => Poll::Pending,
        }
    }

    fn write(&mut self, data: IoData<'_>) -> io::Result<usize> {
        if self.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut bytes = bytes_of(data);
        let most = self.room.min(bytes.len());
        if most == 0 {
            return Ok(0);
        }
        bytes.truncate(self.some(most));
        self.room -= if self.room == usize::MAX {
            0
        } else {
            bytes.len()
        };
        let count = bytes.len();
        self.log.note(virtual_now(), Step::Took(bytes));
        Ok(count)
    }
}

impl Stream for Served {
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.wire();
        ready!(wire.poll_call(turn));
        match wire.read(buffer) {
            Poll::Pending => wire.wait(turn),
            read => read,
        }
    }

    fn try_read_unannounced(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.wire();
        wire.call();
        wire.read(buffer)
    }

    fn try_write(&mut self, data: IoData<'_>) -> io::Result<usize> {
        let mut wire = self.0.wire();
        match wire.call() && wire.rng.u8(0..6) == 0 {
            true => Ok(0),
            false => wire.write(data),
        }
    }

    fn try_write_unannounced(&mut self, data: IoData<'_>) -> io::Result<usize> {
        let mut wire = self.0.wire();
        wire.call();
        wire.write(data)
    }

    fn poll_writable(&mut self, turn: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.0.wire();
        ready!(wire.poll_call(turn));
        let falsely = wire.disturbed.1 < DISTURBED_MAX && wire.rng.u8(0..8) == 0;
        match wire.room > 0 || wire.reset || falsely {
            true => Poll::Ready(()),
            false => wire.wait(turn),
        }
    }

    fn finish(&mut self) {
        let mut wire = self.0.wire();
        if !wire.reset {
            wire.log.note(virtual_now(), Step::Fin);
        }
    }

    fn abort(self) {
        self.0.wire().aborted = true;
    }
}

/// Closes the socket.
impl Drop for Served {
    fn drop(&mut self) {
        let mut wire = self.0.wire();
        let reset = wire.aborted;
        wire.log.note(virtual_now(), Step::Closed { reset });
    }
}
