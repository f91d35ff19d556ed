//! A bounded number of threads, started when there is work for them and joined when the pool is dropped.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A bounded number of threads, for [`defer_to_thread_pool`](crate::defer_to_thread_pool). Clones are the same pool.
///
/// Dropping the last clone drops the work that has not begun, and blocks until the work that has begun has ended.
#[derive(Clone)]
pub struct ThreadPool(Arc<Owner>);

/// Ends the threads when it is dropped. The threads themselves hold only what they share.
struct Owner {
    shared: Arc<Shared>,
    threads_max: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is work, or the pool ends.
    called: Condvar,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that wait for work.
    idle: usize,
    ended: bool,
}

type Work = Box<dyn FnOnce() + Send>;

impl ThreadPool {
    /// Creates a pool of at most `threads_max` threads, and at least one. No thread is started yet.
    pub fn new(threads_max: usize) -> Self {
        Self(Arc::new(Owner {
            shared: Arc::default(),
            threads_max: threads_max.max(1),
        }))
    }

    /// Returns how many calls run, how many wait, and how many can run at once.
    pub(crate) fn load(&self) -> (usize, usize, usize) {
        let state = self.0.shared.lock();
        // A call that has been taken is no longer in the queue, and its thread not idle.
        let running = state.threads.len().saturating_sub(state.idle);
        (running, state.work.len(), self.0.threads_max)
    }

    /// Runs `work`, which must not panic, in the first thread that is free.
    ///
    /// # Errors
    /// There is no thread, and the system refuses to start one.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let Owner {
            shared,
            threads_max,
        } = &*self.0;
        let mut state = shared.lock();
        if state.idle <= state.work.len() && state.threads.len() < *threads_max {
            match shared.start_thread(state.threads.len()) {
                Ok(thread) => state.threads.push(thread),
                Err(error) if state.threads.is_empty() => return Err(error),
                // Those that run will come to it.
                Err(_) => {}
            }
        }
        state.work.push_back(Box::new(work));
        drop(state);
        shared.called.notify_one();
        Ok(())
    }
}

impl Shared {
    /// Every statement leaves the state consistent, so a poisoned lock can still be used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_thread(self: &Arc<Self>, number: usize) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name(format!("pool-{number}"))
            .spawn(move || {
                while let Some(work) = shared.next() {
                    work();
                }
            })
    }

    /// Waits for work. Returns `None` when the pool ends.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(work) = state.work.pop_front() {
                return Some(work);
            }
            state.idle += 1;
            state = self
                .called
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let (work, threads) = {
            let mut state = self.shared.lock();
            state.ended = true;
            (mem::take(&mut state.work), mem::take(&mut state.threads))
        };
        self.shared.called.notify_all();
        drop(work);
        for thread in threads {
            // Work does not panic.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.shared.lock();
        out.debug_struct("ThreadPool")
            .field("threads", &state.threads.len())
            .field("threads_max", &self.0.threads_max)
            .field("waiting", &state.work.len())
            .finish()
    }
}
