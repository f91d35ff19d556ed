//! The classic alternative to a thread for each connection: a fixed number of threads, and a queue.
//!
//! One thread accepts and puts connections into the queue. Each of the others takes one, serves it to its end, and takes
//! the next. The threads are few and known beforehand; the price is a hand-over for each connection, and that a
//! connection holds its thread for as long as it lives: as many slow peers as there are threads hold up every connection
//! in the queue, however idle the machine.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::server_state::{Accepted, ServerState};
use crate::workers::{Jobs, Next, Workers};

/// A fixed number of threads that serve, and one that accepts.
#[derive(Debug)]
pub(crate) struct Pool {
    acceptor: Workers<AcceptIntoQueue>,
    workers: Workers<ServeFromQueue>,
    queue: Arc<Queue<Accepted>>,
}

impl Pool {
    /// Starts `size` threads that serve, and one that accepts.
    ///
    /// # Errors
    /// Fails if one of them cannot be spawned.
    pub(crate) fn start(state: Arc<ServerState>, size: NonZeroUsize) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let serve = ServeFromQueue {
            state: Arc::clone(&state),
            queue: Arc::clone(&queue),
        };
        let workers = Workers::start_all(serve, size.get()).inspect_err(|_| queue.close())?;
        let accept = AcceptIntoQueue {
            state,
            queue: Arc::clone(&queue),
        };
        let acceptor = Workers::start(accept, 1).inspect_err(|_| queue.close())?;
        Ok(Self {
            acceptor,
            workers,
            queue,
        })
    }

    /// Counts the threads that wait to accept.
    pub(crate) fn waiting_to_accept(&self) -> usize {
        self.acceptor.count().waiting
    }

    /// Waits until no connection is accepted any more. The listener must be closed.
    pub(crate) fn wait_until_none_accepts(&self) {
        self.acceptor.wait_until_none_waits();
    }

    /// Counts the threads that serve, or wait for a connection to serve.
    pub(crate) fn threads(&self) -> usize {
        self.workers.count().threads
    }

    /// Counts the connections that wait for a thread.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Poisons the queue's lock, as a panic of a thread that holds it would.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        self.queue.poison();
    }

    /// Waits until every thread has ended. The listener must be closed.
    pub(crate) fn join(&self) {
        self.acceptor.join();
        self.queue.close();
        self.workers.join();
    }
}

/// The job of the thread that accepts.
#[derive(Debug)]
struct AcceptIntoQueue {
    state: Arc<ServerState>,
    queue: Arc<Queue<Accepted>>,
}

impl Jobs for AcceptIntoQueue {
    type Job = Accepted;

    fn next(&self) -> Next<Accepted> {
        // This bounds the queue too, since every connection in it is open.
        if self.state.wait_for_room() {
            self.state.accept()
        } else {
            Next::Over
        }
    }

    fn pause(&self, cause: &io::Error) -> bool {
        self.state.pause_accepting(cause)
    }

    fn run(&self, _: u32, accepted: Accepted) {
        self.queue.push(accepted);
    }

    fn report_short_of_threads(&self, cause: &io::Error) {
        self.state.report_short_of_threads(cause);
    }
}

/// The job of the threads that serve.
#[derive(Debug)]
struct ServeFromQueue {
    state: Arc<ServerState>,
    queue: Arc<Queue<Accepted>>,
}

impl Jobs for ServeFromQueue {
    type Job = Accepted;

    fn next(&self) -> Next<Accepted> {
        self.queue.pop().map_or(Next::Over, Next::Job)
    }

    fn pause(&self, _: &io::Error) -> bool {
        true
    }

    fn run(&self, worker: u32, accepted: Accepted) {
        self.state.serve(worker, accepted);
    }

    fn report_short_of_threads(&self, cause: &io::Error) {
        self.state.report_short_of_threads(cause);
    }
}

/// A queue, first in, first out, on which threads wait.
#[derive(Debug)]
struct Queue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct QueueState<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    fn push(&self, item: T) {
        self.state().items.push_back(item);
        self.changed.notify_one();
    }

    /// Waits for the next item. Returns `None` once the queue is closed and empty.
    fn pop(&self) -> Option<T> {
        let mut state = self.state();
        while state.items.is_empty() && !state.closed {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.items.pop_front()
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn len(&self) -> usize {
        self.state().items.len()
    }

    /// Poisons the lock, as a panic of a thread that holds it would.
    #[cfg(test)]
    fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _state = self.state.lock();
            panic!("while the queue is locked")
        });
        assert!(poisoned == Err::<(), _>("while the queue is locked".to_owned()));
    }

    /// The state is consistent after every statement, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = QueueState {
            items: VecDeque::new(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}
