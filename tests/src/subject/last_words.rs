//! What a command wrote last on stderr, for the failure that its end causes.

use std::collections::VecDeque;
use std::io::Read;
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A longer line is of no use in a message of one line.
const BYTES_KEPT: usize = 1 << 10;
/// How long to wait for the end of stderr after the command has ended. A child of its own may keep it open.
const END_WAIT_MAX: Duration = Duration::from_secs(1);

/// The last bytes of a command's stderr. They are read to the end by a thread, so the command never waits for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastWords(Arc<(Mutex<Tail>, Condvar)>);

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl LastWords {
    /// Begins to read `stderr`.
    pub(crate) fn of(stderr: Option<ChildStderr>) -> Self {
        let words = Self::default();
        let own = words.clone();
        match stderr {
            Some(stderr) => drop(thread::spawn(move || own.keep(stderr))),
            None => own.end(),
        }
        words
    }

    fn keep(&self, mut stderr: impl Read) {
        let mut buffer = [0; BYTES_KEPT];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            let mut tail = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            tail.bytes.extend(&buffer[..read]);
            let surplus = tail.bytes.len().saturating_sub(BYTES_KEPT);
            tail.bytes.drain(..surplus);
        }
        self.end();
    }

    fn end(&self) {
        let (tail, ended) = &*self.0;
        tail.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        ended.notify_all();
    }

    /// Returns the last line that is not empty, of a command that has ended.
    pub(crate) fn line(&self) -> Option<String> {
        let (tail, ended) = &*self.0;
        let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ended.wait_timeout_while(tail, END_WAIT_MAX, |tail| !tail.ended);
        let (tail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().map(str::trim).rev();
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kept_however_much_comes_before() {
        let words = LastWords::default();
        let text = "a warning\n".repeat(1_000) + "the reason\n\n";
        words.keep(text.as_bytes());
        assert_eq!(words.line().as_deref(), Some("the reason"));
        assert_eq!(LastWords::of(None).line(), None);
    }
}
