//! What both servers are made of: a listener that threads wait on, the connections that are open, and the shutdown.
//! What is said on a connection is the business of whoever [serves](Serve) it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::costs_one_connection;
use poetry::event::Scene;
use poetry::limits::ACCEPT_RETRY;
use poetry::{CloseReason, Counters, Counts, Kind, Limits, Reporter, Server, Summary, panics};

use crate::buffers::{Buffers, ReadBuffer};
use crate::connection::Connection;
use crate::deadlines::{Timed, Wire, WriteTimeout};
use crate::ledger::Ledger;
use crate::net::{Listener, Socket};
use crate::open::{Entry, Open};
use crate::pool::Pool;
use crate::workers::{self, Next, Work, Workers};

/// Sets of counters, shared out among the connections in turn: more than there are cores, so that two that run at once
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

/// A server that runs. Dropping it is a shutdown without grace.
#[derive(Debug)]
pub struct Serving<S: Serve> {
    shared: Arc<Shared<S>>,
    threads: Threads<S>,
}

#[derive(Debug)]
enum Threads<S: Serve> {
    /// One for each connection.
    Each(Workers<AcceptAndServe<S>>),
    /// A fixed number.
    Pool(Pool<S>),
}

impl<S: Serve> Serving<S> {
    /// Begins to serve those who connect to `listener`, at most `limits.connections_max` at once: with a thread for
    /// each, or with as many threads as `pool` says.
    ///
    /// # Errors
    /// What the system refused.
    pub fn start(
        listener: Listener,
        service: S,
        pool: Option<NonZeroUsize>,
        limits: Limits,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            listener,
            service,
            write_timeout: WriteTimeout::new(limits.write_timeout, S::LONGEST_WRITE),
            limits,
            reporter,
            open: Open::default(),
            counters: Default::default(),
            buffers: Buffers::default(),
        });
        let threads = match pool {
            Some(size) => Threads::Pool(Pool::start(Arc::clone(&shared), size)?),
            None => {
                let threads_max = shared.threads_max();
                let work = AcceptAndServe(Arc::clone(&shared));
                Threads::Each(Workers::start(work, threads_max)?)
            }
        };
        Ok(Self { shared, threads })
    }

    // ANCHOR: shutdown
    /// Stops accepting, lets what is in flight finish for up to `grace`, and ends every thread (S21): how many
    /// connections finished and how many were cut. Nobody is asked to look at a flag: whoever blocks is woken.
    fn stop(&self, grace: Duration) -> (u64, u64) {
        let Shared { open, listener, .. } = &*self.shared;
        let in_flight = open.stop();
        listener.close(self.threads.waiting_to_accept());
        open.wait_until_empty(grace);
        let cut_before = self.counters().closed.cut;
        open.cut();
        self.threads.join();
        let cut = self.counters().closed.cut - cut_before;
        (in_flight.saturating_sub(cut), cut)
    }
    // ANCHOR_END: shutdown
}

impl<S: Serve> Threads<S> {
    fn waiting_to_accept(&self) -> usize {
        match self {
            Self::Each(workers) => workers.count().waiting,
            Self::Pool(pool) => pool.waiting_to_accept(),
        }
    }

    fn details(&self) -> String {
        match self {
            Self::Each(workers) => {
                let count = workers.count();
                let waiting = count.waiting;
                format!(
                    "{}, {waiting} of them waiting to accept",
                    counted(count.threads, "thread")
                )
            }
            Self::Pool(pool) => {
                let threads = counted(pool.threads(), "thread");
                let queued = counted(pool.queued(), "connection");
                format!("{threads} and one that accepts, {queued} in the queue")
            }
        }
    }

    fn join(&self) {
        match self {
            Self::Each(workers) => workers.join(),
            Self::Pool(pool) => pool.join(),
        }
    }
}

impl<S: Serve> Server for Serving<S> {
    fn address(&self) -> SocketAddr {
        self.shared.listener.address()
    }

    fn counters(&self) -> Counts {
        Counts::of(self.shared.counters.iter())
    }

    fn details(&self) -> Option<String> {
        Some(self.threads.details())
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

/// What all threads of a server share.
#[derive(Debug)]
pub struct Shared<S> {
    listener: Listener,
    service: S,
    limits: Limits,
    write_timeout: WriteTimeout,
    reporter: Reporter,
    open: Open,
    counters: [Counters; COUNTERS],
    buffers: Buffers,
}

/// A connection that nobody serves yet.
#[derive(Debug)]
pub struct Accepted {
    socket: Socket,
    peer: SocketAddr,
    entry: Arc<Entry>,
}

impl<S: Serve> Shared<S> {
    /// Waits for a connection, and enters it among those that are open.
    pub fn accept(&self) -> Next<Accepted> {
        loop {
            // Where only a connection of our own wakes who accepts, nobody would wake one who comes now.
            if self.open.is_stopping() {
                return Next::Over;
            }
            let (socket, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(_) if self.open.is_stopping() => return Next::Over,
                Err(error) if costs_one_connection(&error) => continue,
                Err(error) => return Next::Failed(error),
            };
            let Some(entry) = self.open.enter(&socket, S::BEGINS_IN_FLIGHT) else {
                return Next::Over;
            };
            self.counters(&entry).accepted();
            return Next::Job(Accepted {
                socket,
                peer,
                entry,
            });
        }
    }

    /// Serves a connection to its end. No panic comes out of it: it costs this connection (S20).
    pub fn serve(&self, worker: u32, accepted: Accepted) {
        let Accepted {
            socket,
            peer,
            entry,
        } = accepted;
        entry.serve_here();
        let scene = Scene {
            worker,
            task: entry.task,
            parent: None,
            local: self.listener.local_of(&socket),
            peer: Some(peer),
        };
        let mut connection = Connection {
            wire: Timed::new(socket),
            buffer: ReadBuffer::new(&self.buffers),
            ledger: Ledger::new(self.counters(&entry), &self.reporter, scene),
            standing: &entry.standing,
            limits: &self.limits,
            write_timeout: self.write_timeout,
        };
        let served = panics::contain(|| {
            connection.ledger.accepted();
            let reason = self.service.serve(&mut connection);
            connection.ledger.close(reason);
        });
        if let Err(message) = served {
            // It may have been the observer, which will hardly do better now.
            let _ = panics::contain(|| connection.ledger.break_down(message));
        }
        drop(connection);
        self.open.leave(&entry);
    }

    /// Waits until one more connection may be open. False when a shutdown has begun.
    pub fn wait_for_room(&self) -> bool {
        self.open.wait_for_room(self.limits.connections_max.max(1))
    }

    /// Accepting failed, and will fail again: stays away from it for a while (S17). False when a shutdown has begun.
    pub fn pause_accepting(&self, cause: &io::Error) -> bool {
        self.trouble(Kind::AcceptFailed(cause.to_string()));
        self.open.wait_for_stop(ACCEPT_RETRY)
    }

    /// Says that connections wait for a thread.
    pub fn short_of_threads(&self, cause: &io::Error) {
        self.trouble(Kind::ShortOfThreads(format!(
            "no thread for the next connection, which waits: {cause}"
        )));
    }

    /// The threads to serve `connections_max`; as many as there may be, which is then said.
    fn threads_max(&self) -> usize {
        let (wanted, wall) = (self.limits.connections_max, workers::threads_limit());
        if wanted > wall {
            self.trouble(Kind::ShortOfThreads(format!(
                "{wanted} connections at once would take more threads than the {wall} that the kernel's limit on \
                 memory maps allows: the others wait"
            )));
        }
        wanted.clamp(1, wall)
    }

    fn trouble(&self, kind: Kind) {
        let say = || self.reporter.report(Scene::default(), kind);
        // An observer that panics must not cost the thread that accepts.
        let _ = panics::contain(say);
    }

    fn counters(&self, entry: &Entry) -> &Counters {
        &self.counters[entry.task as usize % COUNTERS]
    }
}

/// The work of threads each of which accepts for itself, so that nothing is handed over.
#[derive(Debug)]
struct AcceptAndServe<S>(Arc<Shared<S>>);

impl<S: Serve> Work for AcceptAndServe<S> {
    type Job = Accepted;

    fn next(&self) -> Next<Accepted> {
        self.0.accept()
    }

    fn pause(&self, cause: &io::Error) -> bool {
        self.0.pause_accepting(cause)
    }

    fn run(&self, worker: u32, accepted: Accepted) {
        self.0.serve(worker, accepted);
    }

    fn short_of_threads(&self, cause: &io::Error) {
        self.0.short_of_threads(cause);
    }
}

/// So many of what `noun` names one of.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests;
