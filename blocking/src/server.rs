//! A running server, with a thread for each connection or a pool, and its shutdown.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::{Counts, Limits, Reporter, Server, Summary};

use crate::listener::Listener;
use crate::pool::Pool;
use crate::server_state::{AcceptAndServe, ServeConnection, ServerState};
use crate::workers::Workers;

/// A running server. Dropping it shuts it down without grace.
#[derive(Debug)]
pub struct RunningServer {
    state: Arc<ServerState>,
    threads: Threads,
}

#[derive(Debug)]
enum Threads {
    /// A thread for each connection.
    Each(Workers<AcceptAndServe>),
    /// A fixed number.
    Pool(Pool),
}

impl RunningServer {
    /// Starts to serve the connections of `listener`, at most `limits.connections_max` at once: with a thread for each,
    /// or with a pool.
    pub(crate) fn start<S: ServeConnection>(
        listener: TcpListener,
        service: S,
        pool: Option<NonZeroUsize>,
        limits: Limits,
        reporter: Reporter,
    ) -> io::Result<Self> {
        let listener = Listener::new(listener)?;
        let state = Arc::new(ServerState::new(listener, service, limits, reporter));
        let threads = match pool {
            Some(size) => Threads::Pool(Pool::start(Arc::clone(&state), size)?),
            None => {
                let threads_max = state.threads_max();
                let jobs = AcceptAndServe(Arc::clone(&state));
                Threads::Each(Workers::start(jobs, threads_max)?)
            }
        };
        Ok(Self { state, threads })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.state.listener.address()
    }

    /// Returns its counts up to now (S23).
    pub fn counters(&self) -> Counts {
        self.state.counts()
    }

    /// Stops accepting, lets requests in flight finish for up to `grace`, closes the rest, and ends every thread (S21).
    /// Blocks until then.
    pub fn shutdown(self, grace: Duration) -> Summary {
        self.stop(grace)
    }

    // ANCHOR: shutdown
    /// Shuts down, in an order that wakes every blocked thread: no thread polls a flag.
    pub(crate) fn stop(&self, grace: Duration) -> Summary {
        let ServerState { open, listener, .. } = &*self.state;
        open.begin_shutdown();
        listener.close(self.threads.waiting_to_accept());
        // A connection that was being accepted is open from then on, and has the grace as well.
        self.threads.wait_until_none_accepts();
        open.wait_until_empty(grace);
        let cut_before = self.counters().closed.cut;
        open.cut();
        self.threads.join();
        self.state.end();
        let counters = self.counters();
        let cut = counters.closed.cut - cut_before;
        Summary {
            finished: open.in_flight_at_shutdown().saturating_sub(cut),
            cut,
            counters,
        }
    }
    // ANCHOR_END: shutdown
}

#[cfg(test)]
impl RunningServer {
    /// Returns whether a shutdown has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.open.is_stopping()
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

impl Server for RunningServer {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn counters(&self) -> Counts {
        self.counters()
    }

    fn details(&self) -> Option<String> {
        Some(self.threads.details())
    }

    /// Its threads accept no more. One that waits to accept ends; one that serves does so to the end of its connection.
    fn stop_accepting(&self) -> bool {
        let ServerState { open, listener, .. } = &*self.state;
        open.close();
        listener.close(self.threads.waiting_to_accept());
        self.threads.wait_until_none_accepts();
        true
    }

    /// A thread serves one connection, so only what they share can hold up several: its locks, which this takes.
    fn responds(&self, _: Duration) -> bool {
        self.state.open.is_closed();
        self.threads.waiting_to_accept();
        true
    }

    fn shutdown(self: Box<Self>, grace: Duration) -> Summary {
        self.stop(grace)
    }
}

impl Threads {
    fn waiting_to_accept(&self) -> usize {
        match self {
            Self::Each(workers) => workers.count().waiting,
            Self::Pool(pool) => pool.waiting_to_accept(),
        }
    }

    fn wait_until_none_accepts(&self) {
        match self {
            Self::Each(workers) => workers.wait_until_none_waits(),
            Self::Pool(pool) => pool.wait_until_none_accepts(),
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

/// Returns the count with `noun`, in the plural unless it is one.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests;
