//! A writer that never stalls who writes (S22): one thread, begun with the first line, writes what has gathered since
//! its last write; lines that find the buffer full are lost, counted, and said as soon as there is room.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What waits for a sink that does not keep up: some ten thousand lines.
const PENDING_BYTES_MAX: usize = 1 << 20;
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
    changed: Condvar,
    is_full: fn() -> bool,
}

#[derive(Default)]
struct State {
    /// What the thread will write to, until there is a thread.
    sink: Option<Box<dyn Write + Send>>,
    pending: Vec<u8>,
    lost: u64,
    writing: bool,
    /// Pieces the sink has taken.
    taken: u64,
}

impl Lossy {
    /// Writes to the process's stderr.
    pub(crate) fn stderr() -> Self {
        Self::new(io::stderr(), stderr_is_full)
    }

    /// Writes to `sink`, which can be asked whether it takes nothing just now. Should there be no thread to be had,
    /// everything is lost.
    fn new(sink: impl Write + Send + 'static, is_full: fn() -> bool) -> Self {
        let state = State {
            sink: Some(Box::new(sink)),
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Condvar::new(),
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
        let mut waits = 0;
        loop {
            let idle = !state.writing && state.pending.is_empty() && state.lost == 0;
            if idle || waits == BUSY {
                return;
            }
            let taken = state.taken;
            let waited = self.shared.changed.wait_timeout(state, PATIENCE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            let stands_still = timeout.timed_out() && after.taken == taken;
            if stands_still && (self.shared.is_full)() {
                return;
            }
            waits = if stands_still { waits + 1 } else { 0 };
            state = after;
        }
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.pending.len() + line.len() > PENDING_BYTES_MAX {
            state.lost += 1;
            return;
        }
        state.pending.extend_from_slice(line);
        let sink = state.sink.take();
        drop(state);
        match sink {
            None => self.shared.changed.notify_all(),
            Some(sink) => self.begin(sink),
        }
    }

    fn begin(&self, sink: Box<dyn Write + Send>) {
        let shared = Arc::clone(&self.shared);
        let name = "stderr".to_owned();
        let _ = thread::Builder::new()
            .name(name)
            .spawn(move || shared.pump(sink));
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

    fn pump(&self, mut sink: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch);
            for piece in batch.chunks(PIECE_BYTES) {
                // A sink that is closed takes everything, so that its closing is nobody's concern.
                let _ = sink.write_all(piece);
                self.lock().taken += 1;
            }
            let _ = sink.flush();
        }
    }

    /// Waits for something to write, and takes all of it into `batch`.
    fn gather(&self, batch: &mut Vec<u8>) {
        batch.clear();
        let mut state = self.lock();
        state.writing = false;
        self.changed.notify_all();
        while state.pending.is_empty() && state.lost == 0 {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        std::mem::swap(&mut state.pending, batch);
        match std::mem::take(&mut state.lost) {
            0 => {}
            lost => {
                batch.extend_from_slice(
                    format!("quatrain: {lost} lines lost: stderr did not keep up\n").as_bytes(),
                );
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
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Says when it is asked to write, and writes when it is told to.
    struct Gate {
        asked: Sender<()>,
        open: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let _ = self.open.recv(); // Once the test has dropped its end, the gate stands open.
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    static CLOSED: AtomicBool = AtomicBool::new(true);

    #[test]
    fn s22_a_sink_that_takes_nothing_loses_lines_and_says_how_many() {
        let (asked, was_asked) = channel();
        let (open, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            asked,
            open: gate,
            written: Arc::clone(&written),
        };
        let lossy = Lossy::new(gate, || CLOSED.load(Ordering::Relaxed));
        lossy.line("first");
        was_asked.recv().unwrap();
        let long = "x".repeat(PENDING_BYTES_MAX - 1);
        lossy.line(&long);
        lossy.line("lost");
        lossy.line("lost too");
        lossy.finish(); // Gives up, since nothing is taken.
        assert!(written.lock().unwrap().is_empty());
        drop(open);
        CLOSED.store(false, Ordering::Relaxed);
        lossy.finish();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written,
            format!("first\n{long}\nquatrain: 2 lines lost: stderr did not keep up\n")
        );
    }

    #[test]
    fn s22_lines_come_out_in_order_and_whole() {
        let (asked, _was_asked) = channel();
        let (open, gate) = channel();
        drop(open);
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            asked,
            open: gate,
            written: Arc::clone(&written),
        };
        let lossy = Lossy::new(gate, || false);
        let lines: String = (0..1_000).map(|line| format!("{line}\n")).collect();
        for line in 0..1_000 {
            lossy.line(line);
        }
        lossy.finish();
        assert_eq!(*written.lock().unwrap(), lines.as_bytes());
    }
}
