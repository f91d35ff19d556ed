//! A writer that never stalls who writes (S22): one thread, begun with the first line, writes what has gathered since
//! its last write; lines that find the buffer full are lost, counted, and said as soon as there is room.
//!
//! A line that comes after a pause is written at once. Then the thread rests while others gather: to be woken for every
//! line of a burst would cost those who write more than all their lines do.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What waits for a sink that does not keep up: some ten thousand lines.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// What gathers before a rest is cut short.
const GATHERED_BYTES_MAX: usize = PENDING_BYTES_MAX / 2;
/// How long the thread rests after it has written: a reader does not notice, and it is woken a hundred times a second
/// at most.
const REST: Duration = Duration::from_millis(10);
/// How much is written at once, so that a slow sink is seen to go on.
const PIECE_BYTES: usize = 4 << 10;
/// How long [`Lossy::finish`] waits for a sink that is full; an idle server has 100 ms to exit in (S21).
const PATIENCE: Duration = Duration::from_millis(50);
/// How long it waits for a sink that is not full, since only a busy machine is slow then: so many times as long.
const BUSY: u32 = 100;

/// A handle to the one writer; clones write to the same.
#[derive(Clone)]
pub(crate) struct Lossy {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Told to the thread: there is something to write, or somebody waits for it.
    wanted: Condvar,
    /// Told to those who wait: something has been written.
    written: Condvar,
    is_full: fn() -> bool,
}

#[derive(Default)]
struct State {
    /// What is written to, until a thread has it.
    sink: Option<Box<dyn Write + Send>>,
    /// Whether there is a thread.
    begun: bool,
    pending: Vec<u8>,
    lost: u64,
    doing: Doing,
    /// How many wait until everything is written.
    waiting: u32,
    /// Pieces the sink has taken.
    taken: u64,
}

/// What the thread does.
#[derive(Default, Clone, Copy, PartialEq)]
enum Doing {
    #[default]
    Waiting,
    Writing,
    Resting,
}

impl Lossy {
    /// Writes to the process's stderr.
    pub(crate) fn stderr() -> Self {
        Self::new(io::stderr(), stderr_is_full)
    }

    /// Writes to `sink`, which can be asked whether it takes nothing just now.
    fn new(sink: impl Write + Send + 'static, is_full: fn() -> bool) -> Self {
        let state = State {
            sink: Some(Box::new(sink)),
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                wanted: Condvar::new(),
                written: Condvar::new(),
                is_full,
            }),
        }
    }

    /// Writes one line, if there is room for it.
    pub(crate) fn line(&self, line: impl fmt::Display) {
        self.push(format!("{line}\n").as_bytes());
    }

    /// Waits until everything is written, unless the sink takes nothing.
    pub(crate) fn finish(&self) {
        let mut state = self.shared.lock();
        if !state.begun && !state.is_idle() {
            drop(state);
            return self.shared.write_here();
        }
        state.waiting += 1;
        self.shared.wanted.notify_one();
        let mut state = self.shared.wait_for_sink(state);
        state.waiting -= 1;
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let told = state.is_awaited();
        if state.pending.len() + line.len() > PENDING_BYTES_MAX {
            state.lost += 1;
        } else {
            state.pending.extend_from_slice(line);
        }
        let begun = mem::replace(&mut state.begun, true);
        let awaited = state.is_awaited();
        drop(state);
        if !begun {
            self.begin();
        } else if awaited && !told {
            self.shared.wanted.notify_one();
        }
    }

    /// Begins the thread. Should there be none to be had, the next line tries again.
    fn begin(&self) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("stderr".to_owned());
        if thread.spawn(move || shared.pump()).is_err() {
            self.shared.lock().begun = false;
        }
    }
}

impl Write for Lossy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// The state is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until nothing is left to write, or the sink, which has stood still, says that it is full.
    fn wait_for_sink<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut waits = 0;
        while !state.is_idle() && waits < BUSY {
            let taken = state.taken;
            let waited = self.written.wait_timeout(state, PATIENCE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            let stands_still = timeout.timed_out() && state.taken == taken;
            if stands_still && (self.is_full)() {
                break;
            }
            waits = if stands_still { waits + 1 } else { 0 };
        }
        state
    }

    fn pump(&self) {
        let Some(mut sink) = self.lock().sink.take() else {
            self.lock().begun = false; // Another thread writes just now.
            return;
        };
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch);
            for piece in batch.chunks(PIECE_BYTES) {
                // A sink that is closed takes everything, so that its closing is nobody's concern.
                let _ = sink.write_all(piece);
                self.lock().taken += 1;
            }
            let _ = sink.flush();
            self.rest();
        }
    }

    /// Waits for something to write, and takes all of it into `batch`.
    fn gather(&self, batch: &mut Vec<u8>) {
        let mut state = self.lock();
        state.doing = Doing::Waiting;
        while state.is_idle() {
            let woken = self.wanted.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.doing = Doing::Writing;
        state.take_into(batch);
    }

    /// Lets lines gather, unless somebody waits for them or they are many.
    fn rest(&self) {
        let mut state = self.lock();
        state.doing = Doing::Resting;
        self.written.notify_all();
        let end = Instant::now() + REST;
        while !state.is_awaited()
            && let Some(left) = end.checked_duration_since(Instant::now())
        {
            let woken = self.wanted.wait_timeout(state, left);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes in this thread, since there is no other, what the sink takes without waiting.
    fn write_here(&self) {
        let Some(mut sink) = self.lock().sink.take() else {
            return;
        };
        let mut batch = Vec::new();
        self.lock().take_into(&mut batch);
        for piece in batch.chunks(PIECE_BYTES) {
            if (self.is_full)() {
                break;
            }
            let _ = sink.write_all(piece);
        }
        self.lock().sink = Some(sink);
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.doing != Doing::Writing && self.pending.is_empty() && self.lost == 0
    }

    /// Whether there is something to write that does not wait for the end of a rest.
    fn is_awaited(&self) -> bool {
        let at_once = match self.doing {
            Doing::Waiting => true,
            Doing::Writing => false,
            Doing::Resting => self.waiting > 0 || self.pending.len() > GATHERED_BYTES_MAX,
        };
        at_once && !self.is_idle()
    }

    /// Moves all there is to write into `batch`, in place of what was there.
    fn take_into(&mut self, batch: &mut Vec<u8>) {
        batch.clear();
        mem::swap(&mut self.pending, batch);
        match mem::take(&mut self.lost) {
            0 => {}
            lost => {
                let said = format!("quatrain: {lost} lines lost: stderr did not keep up\n");
                batch.extend_from_slice(said.as_bytes());
            }
        }
    }
}

/// Whether a write to stderr would have to wait. What takes a piece is not full: pieces are as short as what a pipe
/// takes whole.
fn stderr_is_full() -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    matches!(poll(&mut asked, PollTimeout::ZERO), Ok(0))
}

#[cfg(test)]
mod tests;
