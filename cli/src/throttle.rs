//! Limits the log to a few lines a second, and then reports how many were left out (S22).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Admits a few lines a second, and reports the number of the others when the second is over.
pub(crate) struct Throttle {
    lines_per_second: u32,
    shared: Arc<Shared>,
}

struct Shared {
    report: Box<dyn Fn(u64) + Send + Sync>,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Default)]
struct State {
    /// The start of the current second.
    since: Option<Duration>,
    admitted: u32,
    left_out: u64,
    finishing: bool,
}

impl Throttle {
    /// Creates a throttle that admits `lines_per_second` and calls `report` with the number of lines left out, if any.
    pub(crate) fn new(lines_per_second: u32, report: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            lines_per_second,
            shared: Arc::new(Shared {
                report: Box::new(report),
                state: Mutex::default(),
                finished: Condvar::new(),
            }),
        }
    }

    /// Returns whether a line may be written `now`.
    pub(crate) fn admits(&self, now: Duration) -> bool {
        let mut state = self.shared.lock();
        if state.since.is_none_or(|since| now >= since + SECOND) {
            state.since = Some(now);
            state.admitted = 0;
        }
        if state.admitted < self.lines_per_second {
            state.admitted += 1;
            return true;
        }
        state.left_out += 1;
        if state.left_out == 1 {
            self.report_later();
        }
        false
    }

    /// Reports now, rather than when the second is over.
    pub(crate) fn finish(&self) {
        self.shared.lock().finishing = true;
        self.shared.finished.notify_all();
        self.shared.report();
    }

    /// Starts a thread that reports in a second. If none can be started, [`Throttle::finish`] reports.
    fn report_later(&self) {
        let shared = Arc::clone(&self.shared);
        let wait = move || {
            let state = shared.lock();
            let waited = shared
                .finished
                .wait_timeout_while(state, SECOND, |state| !state.finishing);
            drop(waited);
            shared.report();
        };
        let _ = thread::Builder::new().name("log".to_owned()).spawn(wait);
    }
}

impl Shared {
    /// Locks the state. It is valid after every statement, so a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports under the lock: when [`Throttle::finish`] returns, the thread has reported too.
    fn report(&self) {
        let mut state = self.lock();
        let left_out = std::mem::take(&mut state.left_out);
        if left_out > 0 {
            (self.report)(left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn s22_ten_lines_a_second_then_a_count() {
        static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
        let throttle = Throttle::new(10, |lines| {
            LEFT_OUT.fetch_add(lines, Ordering::Relaxed);
        });
        let admitted = |at: u64| {
            let at = Duration::from_millis(at);
            (0..25).filter(|_| throttle.admits(at)).count()
        };
        assert_eq!((admitted(500), admitted(1_499)), (10, 0));
        throttle.finish();
        assert_eq!(LEFT_OUT.load(Ordering::Relaxed), 40);
        assert_eq!(admitted(1_500), 10);
    }
}
