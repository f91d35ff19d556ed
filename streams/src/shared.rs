//! What all connections of one worker share: where they count, report, and learn that the server stops.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use poetry::{Counters, Limits, Reporter};

use crate::deadlines::Deadlines;

/// What all workers of a server know of its end (S21).
#[derive(Debug, Default)]
pub struct Stop {
    /// Whether it has been told to stop. Every worker knows at the same instant, whenever it comes to act on it, so
    /// that what was in flight then is the same to all.
    told: AtomicBool,
    /// Connections that were in flight then, and finished.
    pub(crate) finished: AtomicU64,
    /// Connections that were in flight then, and were cut.
    pub(crate) cut: AtomicU64,
}

impl Stop {
    /// Tells the server to stop.
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }
}

/// What the connections of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// The worker's number, from 0.
    pub(crate) worker: u32,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    pub(crate) stop: Arc<Stop>,
    pub(crate) deadlines: Rc<Deadlines>,
}

impl Shared {
    /// A worker that has not begun.
    pub fn new(
        worker: u32,
        limits: Limits,
        counters: Arc<Counters>,
        reporter: Reporter,
        stop: Arc<Stop>,
    ) -> Self {
        Self {
            worker,
            limits,
            counters,
            reporter,
            stop,
            deadlines: Rc::default(),
        }
    }

    /// Whether the server has been told to stop.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.told.load(Ordering::Acquire)
    }

    /// Has every connection of this worker see that the server stops.
    pub(crate) fn show_stop(&self) {
        self.stop.tell();
        self.deadlines.wake_all();
    }
}
