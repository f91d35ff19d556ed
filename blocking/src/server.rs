//! What both servers are made of: a listener that threads wait on, the connections that are open, and the shutdown.
//! What is said on a connection is the business of whoever [serves](Serve) it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use poetry::event::Scene;
use poetry::limits::ACCEPT_RETRY;
use poetry::{CloseReason, Counters, Counts, Kind, Limits, Reporter, Server, Summary, panics};

use crate::buffers::{Buffers, ReadBuffer};
use crate::connection::{Connection, Standing};
use crate::deadlines::{Patience, Timed, Wire};
use crate::ledger::Ledger;
use crate::net::{self, Hook, Listener, Socket};
use crate::workers::{self, Next, Work, Workers};

/// Sets of counters, shared out among the threads in turn: more than there are cores, so that two that run at once
/// seldom write to one cache line, and few enough to be read at any time.
const COUNTERS: usize = 16;

/// How one connection is served, from its first byte to its last.
pub trait Serve: Send + Sync + 'static {
    /// Whether a connection has something in flight from the moment it is accepted.
    const BEGINS_IN_FLIGHT: bool;
    /// How long one blocking write lasts at most.
    const LONGEST_WRITE: Duration;

    /// Serves `connection` and says why it closes. It blocks as long as that takes.
    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason;
}

/// A server that runs: a thread for each connection. Dropping it is a shutdown without grace.
#[derive(Debug)]
pub struct Serving<S: Serve> {
    workers: Workers<Accepting<S>>,
}

impl<S: Serve> Serving<S> {
    /// Begins to serve those who connect to `listener`, at most `limits.connections_max` at once.
    ///
    /// # Errors
    /// What the system refused.
    pub fn start(
        listener: Listener,
        service: S,
        limits: Limits,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let threads_max = limits.connections_max.clamp(1, workers::threads_wall());
        if threads_max < limits.connections_max {
            let wanted = limits.connections_max;
            let words = format!(
                "{wanted} connections at once are more than the {threads_max} threads that memory maps allow: the \
                 others wait"
            );
            reporter.report(Scene::default(), Kind::AcceptFailed(words));
        }
        let accepting = Accepting {
            patience: Patience::new(limits.write_timeout, S::LONGEST_WRITE),
            listener,
            service,
            limits,
            reporter,
            open: Open::default(),
            counters: Default::default(),
            buffers: Buffers::default(),
        };
        let workers = Workers::start(accepting, threads_max)?;
        Ok(Self { workers })
    }

    // ANCHOR: shutdown
    /// Stops accepting, lets what is in flight finish for up to `grace`, and ends every thread (S21). Nobody is asked
    /// to look at a flag: whoever blocks is woken.
    fn stop(&self, grace: Duration) -> (u64, u64) {
        let Accepting { open, listener, .. } = self.workers.work();
        let in_flight = open.stop();
        listener.close(self.workers.count().0);
        open.wait_until_empty(grace);
        let cut_before = self.counters().closed.cut;
        open.cut();
        self.workers.join();
        let cut = self.counters().closed.cut - cut_before;
        (in_flight.saturating_sub(cut), cut)
    }
    // ANCHOR_END: shutdown
}

impl<S: Serve> Server for Serving<S> {
    fn address(&self) -> SocketAddr {
        self.workers.work().listener.address()
    }

    fn counters(&self) -> Counts {
        Counts::of(self.workers.work().counters.iter())
    }

    fn details(&self) -> Option<String> {
        let (waiting, threads) = self.workers.count();
        Some(format!(
            "{threads} threads, {waiting} of them waiting to accept"
        ))
    }

    fn shutdown(self: Box<Self>, grace: Duration) -> Summary {
        let (finished, cut) = self.stop(grace);
        Summary {
            finished,
            cut,
            counters: self.counters(),
        }
    }
}

impl<S: Serve> Drop for Serving<S> {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// The work of a server's threads: to accept a connection, and to serve it.
#[derive(Debug)]
struct Accepting<S> {
    listener: Listener,
    service: S,
    limits: Limits,
    reporter: Reporter,
    open: Open,
    counters: [Counters; COUNTERS],
    buffers: Buffers,
    patience: Patience,
}

impl<S: Serve> Work for Accepting<S> {
    type Job = (Socket, SocketAddr);

    fn next(&self) -> Next<Self::Job> {
        loop {
            match self.listener.accept() {
                Ok(accepted) => return Next::Job(accepted),
                Err(_) if self.open.is_stopping() => return Next::Over,
                Err(error) if costs_one_connection(&error) => {}
                Err(error) => {
                    let words = Kind::AcceptFailed(error.to_string());
                    self.reporter.report(Scene::default(), words);
                    return Next::Failed;
                }
            }
        }
    }

    fn pause(&self) -> bool {
        self.open.wait_for_stop(ACCEPT_RETRY)
    }

    fn run(&self, worker: u32, (socket, peer): Self::Job) {
        let Some((task, entry)) = self.open.enter(&socket, S::BEGINS_IN_FLIGHT) else {
            return; // A shutdown was quicker.
        };
        let scene = Scene {
            worker,
            task,
            parent: None,
            local: self.listener.local_of(&socket),
            peer: Some(peer),
        };
        let counters = &self.counters[worker as usize % COUNTERS];
        let mut connection = Connection {
            wire: Timed::new(socket),
            buffer: ReadBuffer::new(&self.buffers),
            ledger: Ledger::open(counters, &self.reporter, scene),
            standing: &entry.standing,
            limits: &self.limits,
            patience: self.patience,
        };
        let reason = panics::contain(|| self.service.serve(&mut connection));
        let reason = reason.unwrap_or_else(|message| {
            connection.ledger.broke_down(message);
            CloseReason::Panic
        });
        connection.ledger.close(reason);
        self.open.leave(task);
    }

    fn short_of_threads(&self, cause: &io::Error) {
        let words = format!("no thread for the next connection, which waits: {cause}");
        self.reporter
            .report(Scene::default(), Kind::AcceptFailed(words));
    }
}

/// Whether an accept failed because of the connection it would have returned; the next may succeed at once. Whatever
/// else it is, it is not tried again without a pause.
fn costs_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | HostUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Open {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    stopping: bool,
    entered: u64,
    entries: HashMap<u64, Arc<Entry>>,
}

/// An open connection: where it stands, and how its thread is woken.
#[derive(Debug)]
struct Entry {
    standing: Standing,
    hook: Hook,
    thread: Thread,
}

impl Open {
    /// A connection is open: its number in the order of accepts. None when the server is stopping.
    fn enter(&self, socket: &Socket, in_flight: bool) -> Option<(u64, Arc<Entry>)> {
        let entry = Arc::new(Entry {
            standing: Standing::new(in_flight),
            hook: socket.hook(),
            thread: thread::current(),
        });
        let mut book = self.book();
        if book.stopping {
            return None;
        }
        let task = book.entered;
        book.entered += 1;
        book.entries.insert(task, Arc::clone(&entry));
        Some((task, entry))
    }

    /// A connection is gone.
    fn leave(&self, task: u64) {
        let mut book = self.book();
        book.entries.remove(&task);
        if book.stopping && book.entries.is_empty() {
            self.changed.notify_all();
        }
    }

    /// A shutdown begins: nobody enters any more, and who is idle is hung up. Returns how many are in flight.
    fn stop(&self) -> u64 {
        let mut book = self.book();
        book.stopping = true;
        self.changed.notify_all();
        let (busy, idle): (Vec<_>, Vec<_>) =
            (book.entries.values()).partition(|entry| entry.standing.stop());
        idle.iter().for_each(|entry| entry.hook.stop_reading());
        busy.len() as u64
    }

    fn is_stopping(&self) -> bool {
        self.book().stopping
    }

    /// Waits for `at_most`. False when a shutdown has begun.
    fn wait_for_stop(&self, at_most: Duration) -> bool {
        let book = self
            .changed
            .wait_timeout_while(self.book(), at_most, |book| !book.stopping);
        !book.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn wait_until_empty(&self, grace: Duration) {
        let deadline = net::now().saturating_add(grace);
        let mut book = self.book();
        loop {
            let left = deadline.saturating_sub(net::now());
            if left.is_zero() || book.entries.is_empty() {
                return;
            }
            let woken = self.changed.wait_timeout(book, left);
            book = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The grace is over: whoever is left is hung up, whatever it waits for.
    fn cut(&self) {
        for entry in self.book().entries.values() {
            entry.standing.cut();
            entry.hook.hang_up();
            entry.thread.unpark();
        }
    }

    /// The book is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
