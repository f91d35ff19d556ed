//! What wakes a view: its time, its end, or a line on stdin that asks for a crash (`--lab`).

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// Bytes of a line; names are shorter.
const LINE_BYTES_MAX: u64 = 256;
/// Lines that wait for the view; more than a person types between two views are dropped.
const LINES_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    lines: VecDeque<String>,
}

/// Why a view woke.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Time,
    Line(String),
    Ended,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the view.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    fn push(&self, line: String) {
        let mut state = self.state();
        if state.lines.len() < LINES_MAX {
            state.lines.push_back(line);
            self.changed.notify_all();
        }
    }

    /// Waits for `time`, a line or the end.
    pub(super) fn wait(&self, time: Duration) -> Woken {
        let quiet = |state: &mut State| !state.ended && state.lines.is_empty();
        let waited = self.changed.wait_timeout_while(self.state(), time, quiet);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match state.lines.pop_front() {
            _ if state.ended => Woken::Ended,
            Some(line) => Woken::Line(line),
            None => Woken::Time,
        }
    }

    /// Reads lines from stdin in a thread of its own, which ends with stdin or with the process.
    pub(super) fn read_stdin(self: Arc<Self>) -> io::Result<()> {
        let read = move || {
            // A process in the background of a terminal would be stopped by reading from it. So the read fails instead.
            let _ = SigSet::from(Signal::SIGTTIN).thread_block();
            let mut stdin = io::stdin().lock();
            loop {
                let mut line = Vec::new();
                let read = stdin
                    .by_ref()
                    .take(LINE_BYTES_MAX)
                    .read_until(b'\n', &mut line);
                match read {
                    Ok(1..) => self.push(String::from_utf8_lossy(&line).trim().to_owned()),
                    Ok(0) | Err(_) => return,
                }
            }
        };
        let named = thread::Builder::new().name("stdin".to_owned());
        named.spawn(read).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_end_comes_first() {
        let inbox = Inbox::default();
        assert_eq!(inbox.wait(Duration::ZERO), Woken::Time);
        for line in 0..2 * LINES_MAX {
            inbox.push(line.to_string());
        }
        for line in 0..LINES_MAX {
            assert_eq!(inbox.wait(Duration::ZERO), Woken::Line(line.to_string()));
        }
        assert_eq!(inbox.wait(Duration::ZERO), Woken::Time);
        inbox.push("crash acceptor".to_owned());
        inbox.end();
        assert_eq!(inbox.wait(Duration::MAX), Woken::Ended);
    }
}
