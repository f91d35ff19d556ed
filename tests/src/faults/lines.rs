//! A program's output, read as it arrives.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Check, Failure};

/// A stream of text that a thread reads as it arrives.
pub(super) struct Lines(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default)]
struct Text {
    text: String,
    ended: bool,
}

impl Lines {
    pub(super) fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Text::default()), Condvar::new()));
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line), Ok(read) if read > 0) {
                let line = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                locked(&own).text.push_str(&line);
                own.1.notify_all();
            }
            locked(&own).ended = true;
            own.1.notify_all();
        });
        Self(shared)
    }

    /// Returns what has arrived so far.
    pub(super) fn text(&self) -> String {
        locked(&self.0).text.clone()
    }

    /// Waits for the end of the stream; returns all of it.
    pub(super) fn all(&self, patience: Duration) -> Check<String> {
        self.wait(patience, |text| text.ended.then(|| text.text.clone()))
            .ok_or_else(|| Failure::broken("the output does not end"))
    }

    /// Waits for a complete line that contains `words`.
    pub(super) fn wait_for(&self, words: &str, patience: Duration) -> Check<String> {
        let find = |text: &Text| {
            let whole = text.text.rfind('\n').map_or("", |end| &text.text[..end]);
            let found = whole.lines().find(|line| line.contains(words));
            found
                .map(|line| Some(line.to_owned()))
                .or(text.ended.then_some(None))
        };
        self.wait(patience, find)
            .flatten()
            .ok_or_else(|| Failure::Broken(format!("no line with '{words}'")))
    }

    fn wait<T>(&self, patience: Duration, find: impl Fn(&Text) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut text = locked(&self.0);
        loop {
            if let Some(found) = find(&text) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.0.1.wait_timeout(text, left);
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn locked(shared: &(Mutex<Text>, Condvar)) -> MutexGuard<'_, Text> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}
