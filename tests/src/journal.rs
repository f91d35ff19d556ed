//! Records the subject's events in the order in which they are reported, and waits for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use poetry::event::Interest;
use poetry::{Event, Kind, Observer};

use crate::WAIT_MAX;
use crate::failure::{Check, Failure};

/// An observer that keeps every event.
#[derive(Debug)]
pub struct Journal {
    interest: Interest,
    events: Mutex<Vec<Event>>,
    more: Condvar,
}

impl Journal {
    /// Creates a journal of the kinds in `interest`.
    pub fn new(interest: Interest) -> Self {
        Self {
            interest,
            events: Mutex::default(),
            more: Condvar::new(),
        }
    }

    /// Returns all events so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// Returns the kinds of all events of one task so far.
    pub fn kinds_of(&self, task: u64) -> Vec<Kind> {
        let events = self.lock();
        let of_task = events.iter().filter(|event| event.scene.task == task);
        of_task.map(|event| event.kind.clone()).collect()
    }

    /// Waits until the events so far satisfy `enough`, and returns them.
    ///
    /// # Errors
    /// They do not within [`WAIT_MAX`]; the message names `what` was expected.
    pub fn wait_for(&self, what: &str, enough: impl Fn(&[Event]) -> bool) -> Check<Vec<Event>> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut events = self.lock();
        while !enough(&events) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail: Vec<_> = events
                    .iter()
                    .rev()
                    .take(4)
                    .map(|event| &event.kind)
                    .collect();
                return Err(Failure::Broken(format!(
                    "expected {what}, got {} events, the last of them, latest first: {tail:?}",
                    events.len()
                )));
            }
            let waited = self.more.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(events.clone())
    }

    /// Waits for the next event, for at most `timeout`.
    pub(crate) fn wait_for_next(&self, timeout: Duration) {
        let waited = self.more.wait_timeout(self.lock(), timeout);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Journal {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn observe(&self, event: &Event) {
        self.lock().push(event.clone());
        self.more.notify_all();
    }
}

/// Returns the sum of the bytes read in `events`.
pub fn bytes_read(events: &[Event]) -> u64 {
    events.iter().fold(0, |sum, event| match event.kind {
        Kind::Read { bytes } => sum + bytes,
        _ => sum,
    })
}

/// Returns the sum of the bytes written in `events`.
pub fn bytes_written(events: &[Event]) -> u64 {
    events.iter().fold(0, |sum, event| match event.kind {
        Kind::Wrote { bytes } => sum + bytes,
        _ => sum,
    })
}
