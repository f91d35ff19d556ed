//! What all connections of one worker share: where they count, report, and learn that the server stops.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use poetry::{Counters, Limits, Reporter};

use crate::deadlines::Deadlines;

/// Connections that were in flight when the server was told to stop, over all workers (S21).
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) finished: AtomicU64,
    pub(crate) cut: AtomicU64,
}

/// One worker's surroundings.
#[derive(Debug)]
pub struct Site {
    /// The worker's number, from 0.
    pub(crate) worker: u32,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    pub(crate) tally: Arc<Tally>,
    pub(crate) deadlines: Rc<Deadlines>,
    stopped: Cell<bool>,
}

impl Site {
    /// A worker that has not begun.
    pub fn new(
        worker: u32,
        limits: Limits,
        counters: Arc<Counters>,
        reporter: Reporter,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            worker,
            limits,
            counters,
            reporter,
            tally,
            deadlines: Rc::default(),
            stopped: Cell::new(false),
        }
    }

    /// Whether the server has been told to stop.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Tells every connection of this worker that the server stops.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.deadlines.wake_all();
    }
}
