//! Writes lines to a sink that may be slow, without stalling the caller (S22): one thread, started with the first line,
//! writes what has gathered. Lines that find the buffer full are dropped, counted, and reported once there is room.
//!
//! A line that comes after a pause is written immediately. Then the thread rests while more lines gather: waking it for
//! every line of a burst would cost the callers more than the lines themselves.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes that wait for a slow sink: some ten thousand lines.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Bytes that end a rest early.
const GATHERED_BYTES_MAX: usize = PENDING_BYTES_MAX / 2;
/// How long the thread rests after a write: too short for a reader to notice, and at most a hundred wake-ups a second.
const REST: Duration = Duration::from_millis(10);
/// Bytes of one write: no more than a pipe takes at once, so that progress on a slow sink can be observed.
const PIECE_BYTES: usize = 4 << 10;
/// How long [`LineWriter::finish`] waits for a full sink; an idle server has 100 ms to exit (S21).
const PATIENCE: Duration = Duration::from_millis(50);
/// How many times as long it waits for a sink that is not full: then only a busy machine delays the write.
const BUSY: u32 = 100;

/// Where a [`LineWriter`] writes.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Writes whole lines, and may block. Errors are handled here.
    fn write(&self, lines: &[u8]);

    /// Returns whether a write would block now.
    fn is_full(&self) -> bool;

    /// Reports that `lines` lines were dropped.
    fn report_dropped(&self, lines: u64);
}

/// A handle to the writing thread; clones share it.
#[derive(Clone)]
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    state: Mutex<State>,
    /// Wakes the thread: there is something to write, or a caller waits for the end of it.
    wanted: Condvar,
    /// Wakes the callers that wait: something has been written.
    written: Condvar,
    sink: Box<dyn Sink>,
}

#[derive(Default)]
struct State {
    /// Whether the thread runs.
    started: bool,
    pending: Vec<u8>,
    dropped: u64,
    phase: Phase,
    /// Callers that wait until everything is written.
    waiting: u32,
    /// Pieces that the sink has taken.
    pieces: u64,
}

/// What the thread does.
#[derive(Default, Clone, Copy, PartialEq)]
enum Phase {
    #[default]
    Waiting,
    Writing,
    Resting,
}

impl LineWriter {
    /// Creates a writer to the process's stderr.
    pub(crate) fn stderr() -> Self {
        Self::new("stderr", Stderr)
    }

    /// Creates a writer to `sink`, whose thread will be called `name`.
    pub(crate) fn new(name: &'static str, sink: impl Sink) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                state: Mutex::default(),
                wanted: Condvar::new(),
                written: Condvar::new(),
                sink: Box::new(sink),
            }),
        }
    }

    /// Writes one line, if there is room for it.
    pub(crate) fn line(&self, line: impl fmt::Display) {
        self.push(format!("{line}\n").as_bytes());
    }

    /// Waits until everything is written, or the sink is full. Returns whether everything was written.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.shared.lock();
        if !state.started && !state.is_idle() {
            drop(state);
            return self.shared.write_here();
        }
        state.waiting += 1;
        self.shared.wanted.notify_one();
        let mut state = self.shared.wait_for_sink(state);
        state.waiting -= 1;
        state.is_idle()
    }

    /// Writes whole lines, if there is room for all of them.
    pub(crate) fn push(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        let was_awaited = state.is_awaited();
        if state.pending.len() + lines.len() > PENDING_BYTES_MAX {
            state.dropped += 1;
        } else {
            state.pending.extend_from_slice(lines);
        }
        let started = mem::replace(&mut state.started, true);
        let is_awaited = state.is_awaited();
        drop(state);
        if !started {
            self.start();
        } else if is_awaited && !was_awaited {
            self.shared.wanted.notify_one();
        }
    }

    /// Writes whole lines in the caller's thread if the sink has room for them now. So a single line needs no thread.
    pub(crate) fn push_directly(&self, lines: &[u8]) {
        if lines.len() <= PIECE_BYTES && !self.shared.sink.is_full() {
            self.shared.sink.write(lines);
        } else {
            self.push(lines);
        }
    }

    /// Starts the thread. If that fails, the next line tries again.
    fn start(&self) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(self.shared.name.to_owned());
        if thread.spawn(move || shared.pump()).is_err() {
            self.shared.lock().started = false;
        }
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Locks the state. It is valid after every statement, so a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is left to write, or the sink has taken nothing for a while and is full.
    fn wait_for_sink<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut waits = 0;
        while !state.is_idle() && waits < BUSY {
            let pieces = state.pieces;
            let waited = self.written.wait_timeout(state, PATIENCE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            let stalled = timeout.timed_out() && state.pieces == pieces;
            if stalled && self.sink.is_full() {
                break;
            }
            waits = if stalled { waits + 1 } else { 0 };
        }
        state
    }

    fn pump(&self) {
        let mut batch = Vec::new();
        loop {
            let dropped = self.gather(&mut batch);
            for piece in pieces(&batch) {
                self.sink.write(piece);
                self.lock().pieces += 1;
            }
            if dropped > 0 {
                self.sink.report_dropped(dropped);
            }
            self.rest();
        }
    }

    /// Waits for lines, moves all of them into `batch`, and returns how many were dropped since.
    fn gather(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        state.phase = Phase::Waiting;
        while state.is_idle() {
            let woken = self.wanted.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.phase = Phase::Writing;
        state.take_into(batch)
    }

    /// Lets lines gather, unless a caller waits for them or they are many.
    fn rest(&self) {
        let mut state = self.lock();
        state.phase = Phase::Resting;
        self.written.notify_all();
        let end = Instant::now() + REST;
        while !state.is_awaited()
            && let Some(left) = end.checked_duration_since(Instant::now())
        {
            let woken = self.wanted.wait_timeout(state, left);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes in the caller's thread, since no other could be started, what the sink takes without blocking.
    fn write_here(&self) -> bool {
        let mut batch = Vec::new();
        let dropped = self.lock().take_into(&mut batch);
        for piece in pieces(&batch) {
            if self.sink.is_full() {
                return false;
            }
            self.sink.write(piece);
        }
        if dropped > 0 {
            self.sink.report_dropped(dropped);
        }
        true
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.phase != Phase::Writing && self.pending.is_empty() && self.dropped == 0
    }

    /// Returns whether there is something to write that does not wait for the end of a rest.
    fn is_awaited(&self) -> bool {
        let immediately = match self.phase {
            Phase::Waiting => true,
            Phase::Writing => false,
            Phase::Resting => self.waiting > 0 || self.pending.len() > GATHERED_BYTES_MAX,
        };
        immediately && !self.is_idle()
    }

    /// Replaces `batch` by the pending lines, and returns how many were dropped.
    fn take_into(&mut self, batch: &mut Vec<u8>) -> u64 {
        batch.clear();
        mem::swap(&mut self.pending, batch);
        mem::take(&mut self.dropped)
    }
}

/// Cuts `lines` into pieces of at most [`PIECE_BYTES`] that end where lines end. Only a longer line is cut.
fn pieces(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let longest = lines.get(..PIECE_BYTES).unwrap_or(lines);
        let end = match longest.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None => longest.len(),
        };
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns whether a write to `file` would block.
pub(crate) fn would_block(file: impl AsFd) -> bool {
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0))
}

/// The process's stderr. A closed one swallows everything: there is no better place to report that.
struct Stderr;

impl Sink for Stderr {
    fn write(&self, lines: &[u8]) {
        let _ = io::stderr().write_all(lines);
    }

    fn is_full(&self) -> bool {
        would_block(io::stderr())
    }

    fn report_dropped(&self, lines: u64) {
        let lines = crate::words::counted(lines, "line");
        self.write(format!("quatrain: {lines} dropped: stderr did not keep up\n").as_bytes());
    }
}

#[cfg(test)]
mod tests;
