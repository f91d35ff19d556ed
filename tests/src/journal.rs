//! The events of a subject, kept in the order they were told, to be waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use poetry::event::Interest;
use poetry::{Event, Kind, Observer};

use crate::PATIENCE;
use crate::failure::{Check, Failure};

/// An observer that remembers everything.
#[derive(Debug)]
pub struct Journal {
    interest: Interest,
    events: Mutex<Vec<Event>>,
    more: Condvar,
}

impl Journal {
    /// A journal of the kinds in `interest`.
    pub fn of(interest: Interest) -> Self {
        Self {
            interest,
            events: Mutex::default(),
            more: Condvar::new(),
        }
    }

    /// All that was told so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The kinds of event that were told so far of one task.
    pub fn kinds_of(&self, task: u64) -> Vec<Kind> {
        let events = self.lock();
        let of_task = events.iter().filter(|event| event.scene.task == task);
        of_task.map(|event| event.kind.clone()).collect()
    }

    /// Waits until what was told satisfies `enough`.
    ///
    /// # Errors
    /// It does not within the suite's patience; `what` was waited for.
    pub fn wait_for(&self, what: &str, enough: impl Fn(&[Event]) -> bool) -> Check<Vec<Event>> {
        let deadline = Instant::now() + PATIENCE;
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
                    "expected {what}, came {} events, the last of them, latest first: {tail:?}",
                    events.len()
                )));
            }
            let waited = self.more.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(events.clone())
    }

    /// Waits for the next event, or a moment.
    pub(crate) fn wait_a_moment(&self, moment: Duration) {
        let waited = self.more.wait_timeout(self.lock(), moment);
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

/// Bytes read in all of `events`.
pub fn bytes_read(events: &[Event]) -> u64 {
    events.iter().fold(0, |sum, event| match event.kind {
        Kind::Read { bytes } => sum + bytes,
        _ => sum,
    })
}

/// Bytes written in all of `events`.
pub fn bytes_written(events: &[Event]) -> u64 {
    events.iter().fold(0, |sum, event| match event.kind {
        Kind::Wrote { bytes } => sum + bytes,
        _ => sum,
    })
}
