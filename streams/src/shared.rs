//! What all connections of one worker share: where they count, report, and learn that the server stops.
//!
//! It needs neither lock nor atomic, because each worker is a thread with a runtime of its own, and no task is stolen from
//! it. That was chosen by measuring both: this crate, and the same with its tasks on tokio's work-stealing runtime and what
//! they share behind locks. A client of one thread keeps 1,000 connections busy, each with one request of 600 bytes at a
//! time; all on two cores, in turn. The middle of the three rounds in which the machine was quiet, and their spread:
//!
//! | | CPU a request | p50 | p99 | replies to others between two of one's own: p50, p99, most |
//! |---|---|---|---|---|
//! | one runtime | 6.2 µs (5.0–6.8) | 7.0 ms (6.5–7.8) | 17 ms (11–31) | 1,000, 1,000, 1,000 |
//! | stealing, one worker | 6.3 µs (5.9–6.3) | 2.3 ms (1.8–3.0) | 97 ms (60–116) | 273, 14,635, 22,916 |
//! | two runtimes | 6.8 µs (6.6–6.9) | 6.4 ms (5.9–6.6) | 18 ms (16–25) | 1,000, 1,760, 2,543 |
//! | stealing, two workers | 6.9 µs (6.1–7.1) | 6.2 ms (6.0–7.0) | 28 ms (23–42) | 983, 3,768, 6,245 |
//!
//! In eleven more rounds, on a busy machine, stealing cost a sixth more CPU, and p99 with two threads was too close
//! to call; requests a second differ by less than their spread. Requests are short and alike, so connections that are
//! dealt out evenly are work dealt out evenly, and there is nothing to steal. What stealing costs is fairness: a
//! worker's own queue there holds 256 tasks, those beyond wait in one that is looked at now and then, and so a few
//! hundred connections are served many times over while the others wait. Here the queue is one line: nobody is
//! answered more than twice before everybody who was ready has been, whatever the load, and a test counts that.
//! Whoever serves requests of very different length should choose again.

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
