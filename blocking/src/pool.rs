//! The classic alternative to a thread for each connection: a fixed number of threads, and a queue.
//!
//! One thread accepts and puts connections into the queue; each of the others takes one, serves it to its end, and takes
//! the next. It costs a hand-over a connection, and its threads are few and known beforehand. Its weakness is as old: a
//! connection holds its thread for as long as it lives, so as many slow peers as there are threads hold up everybody
//! who comes after them, whatever the machine could do meanwhile.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::server::{Accepted, Serve, Shared};
use crate::workers::{Next, Work, Workers};

/// A fixed number of threads that serve, and one that accepts.
#[derive(Debug)]
pub struct Pool<S: Serve> {
    acceptor: Workers<Accepting<S>>,
    workers: Workers<Serving<S>>,
    queue: Arc<Queue<Accepted>>,
}

impl<S: Serve> Pool<S> {
    /// Starts `size` threads to serve, and one to accept.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn start(shared: Arc<Shared<S>>, size: NonZeroUsize) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let serving = Serving {
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
        };
        let workers = Workers::start_all(serving, size.get()).inspect_err(|_| queue.close())?;
        let accepting = Accepting {
            shared,
            queue: Arc::clone(&queue),
        };
        let acceptor = Workers::start(accepting, 1).inspect_err(|_| queue.close())?;
        Ok(Self {
            acceptor,
            workers,
            queue,
        })
    }

    /// Threads that wait to accept.
    pub fn waiting_to_accept(&self) -> usize {
        self.acceptor.count().waiting
    }

    /// Threads that serve, or wait to.
    pub fn threads(&self) -> usize {
        self.workers.count().threads
    }

    /// Connections that wait for a thread.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Poisons the queue's lock, as a panic of a thread that held it would.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        self.queue.poison();
    }

    /// Waits until every thread has ended. Nobody may be able to accept any more.
    pub fn join(&self) {
        self.acceptor.join();
        self.queue.close();
        self.workers.join();
    }
}

/// The work of the thread that accepts.
#[derive(Debug)]
struct Accepting<S> {
    shared: Arc<Shared<S>>,
    queue: Arc<Queue<Accepted>>,
}

impl<S: Serve> Work for Accepting<S> {
    type Job = Accepted;

    fn next(&self) -> Next<Accepted> {
        // It is this that bounds the queue: whatever is in it is an open connection.
        if self.shared.wait_for_room() {
            self.shared.accept()
        } else {
            Next::Over
        }
    }

    fn pause(&self, cause: &io::Error) -> bool {
        self.shared.pause_accepting(cause)
    }

    fn run(&self, _: u32, accepted: Accepted) {
        self.queue.push(accepted);
    }

    fn short_of_threads(&self, cause: &io::Error) {
        self.shared.short_of_threads(cause);
    }
}

/// The work of the threads that serve.
#[derive(Debug)]
struct Serving<S> {
    shared: Arc<Shared<S>>,
    queue: Arc<Queue<Accepted>>,
}

impl<S: Serve> Work for Serving<S> {
    type Job = Accepted;

    fn next(&self) -> Next<Accepted> {
        self.queue.pop().map_or(Next::Over, Next::Job)
    }

    fn pause(&self, _: &io::Error) -> bool {
        true
    }

    fn run(&self, worker: u32, accepted: Accepted) {
        self.shared.serve(worker, accepted);
    }

    fn short_of_threads(&self, cause: &io::Error) {
        self.shared.short_of_threads(cause);
    }
}

/// First in, first out; whoever finds it empty waits.
#[derive(Debug)]
struct Queue<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    fn push(&self, item: T) {
        self.line().items.push_back(item);
        self.changed.notify_one();
    }

    /// The next item. None once the queue is closed and empty.
    fn pop(&self) -> Option<T> {
        let mut line = self.line();
        while line.items.is_empty() && !line.closed {
            let woken = self.changed.wait(line);
            line = woken.unwrap_or_else(PoisonError::into_inner);
        }
        line.items.pop_front()
    }

    fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    fn len(&self) -> usize {
        self.line().items.len()
    }

    /// Poisons the lock, as a panic of a thread that held it would.
    #[cfg(test)]
    fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _line = self.line.lock();
            panic!("with the line in hand")
        });
        assert!(poisoned == Err::<(), _>("with the line in hand".to_owned()));
    }

    /// The line is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let line = Line {
            items: VecDeque::new(),
            closed: false,
        };
        Self {
            line: Mutex::new(line),
            changed: Condvar::new(),
        }
    }
}
