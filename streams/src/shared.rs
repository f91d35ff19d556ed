//! The state that the connections of one worker share: counters, events, deadlines, turns, and the server's stop.
//!
//! It needs no lock: each worker is a thread with a runtime of its own, and no task leaves its thread. Only what other
//! threads read or set, the counters and the stop, is atomic. MEASURING compares this with tokio's work-stealing
//! runtime, which serves a few hundred connections many times over while others wait.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use poetry::{Counters, Limits, Reporter};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use crate::deadlines::Deadlines;
use crate::turns::Turns;

/// The stop of a server, shared by its workers (S21).
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Set at one instant for all workers, so that they agree on what was in flight.
    begun: AtomicBool,
    /// Connections that were in flight then and finished.
    pub(crate) finished: AtomicU64,
    /// Connections that were in flight then and were cut.
    pub(crate) cut: AtomicU64,
}

impl Stop {
    /// Stops the server.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

/// The state that the connections of one worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The worker's number, from 0.
    pub(crate) worker: u32,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    pub(crate) stop: Arc<Stop>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) turns: Rc<Turns>,
    /// The server's permits to compute a heavy request (S25).
    pub(crate) offloading: Arc<Semaphore>,
}

impl Shared {
    /// The state of a worker without connections.
    pub(crate) fn new(
        worker: u32,
        limits: Limits,
        counters: Arc<Counters>,
        reporter: Reporter,
        stop: Arc<Stop>,
        offloading: Arc<Semaphore>,
    ) -> Self {
        Self {
            worker,
            limits,
            counters,
            reporter,
            stop,
            deadlines: Rc::default(),
            turns: Rc::default(),
            offloading,
        }
    }

    /// Starts the tasks that keep the worker's deadlines and turns. Must be called in its runtime.
    pub(crate) fn start_keepers(&self) {
        let deadlines = Rc::clone(&self.deadlines);
        spawn_local(async move { deadlines.run().await });
        let turns = Rc::clone(&self.turns);
        spawn_local(async move { turns.run().await });
    }

    /// Whether the server stops.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.begun.load(Ordering::Acquire)
    }

    /// Stops the server and wakes every connection of this worker that waits, so that the idle ones close.
    pub(crate) fn stop_and_wake(&self) {
        self.stop.begin();
        self.deadlines.wake_all();
    }
}
