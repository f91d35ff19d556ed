//! A few lines a second, then the count of the rest (S22).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Lets a few lines a second through, and has the number of the others said when the second is over.
pub(crate) struct Throttle {
    lines_per_second: u32,
    shared: Arc<Shared>,
}

struct Shared {
    say_rest: fn(u64),
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Default)]
struct State {
    /// When the current second began.
    since: Option<Duration>,
    admitted: u32,
    held_back: u64,
    finishing: bool,
}

impl Throttle {
    /// Admits `lines_per_second`; `say_rest` is told how many were not, never of none.
    pub(crate) fn new(lines_per_second: u32, say_rest: fn(u64)) -> Self {
        Self {
            lines_per_second,
            shared: Arc::new(Shared {
                say_rest,
                state: Mutex::default(),
                finished: Condvar::new(),
            }),
        }
    }

    /// Whether a line may be said `now`.
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
        state.held_back += 1;
        if state.held_back == 1 {
            self.say_rest_later();
        }
        false
    }

    /// Says now what would be said when the second is over.
    pub(crate) fn finish(&self) {
        self.shared.lock().finishing = true;
        self.shared.finished.notify_all();
        self.shared.say_rest();
    }

    /// A thread only while there is something to say. Without one the rest is said in the end.
    fn say_rest_later(&self) {
        let shared = Arc::clone(&self.shared);
        let wait = move || {
            let state = shared.lock();
            let waited = shared
                .finished
                .wait_timeout_while(state, SECOND, |state| !state.finishing);
            drop(waited);
            shared.say_rest();
        };
        let _ = thread::Builder::new().name("log".to_owned()).spawn(wait);
    }
}

impl Shared {
    /// The state is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_rest(&self) {
        let held_back = std::mem::take(&mut self.lock().held_back);
        if held_back > 0 {
            (self.say_rest)(held_back);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn s22_ten_lines_a_second_then_a_count() {
        static REST: AtomicU64 = AtomicU64::new(0);
        let throttle = Throttle::new(10, |rest| {
            REST.fetch_add(rest, Ordering::Relaxed);
        });
        let admitted = |at: u64| {
            let at = Duration::from_millis(at);
            (0..25).filter(|_| throttle.admits(at)).count()
        };
        assert_eq!((admitted(500), admitted(1_499)), (10, 0));
        throttle.finish();
        assert_eq!(REST.load(Ordering::Relaxed), 40);
        assert_eq!(admitted(1_500), 10);
    }
}
