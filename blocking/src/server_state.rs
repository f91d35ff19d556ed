//! The state that a server's threads share, and their steps: accepting a connection, serving it to its end, and waiting
//! when no more can be accepted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use poetry::error::costs_one_connection;
use poetry::event::Scene;
use poetry::limits::ACCEPT_RETRY;
use poetry::{CloseReason, Counters, Counts, Kind, Limits, Reporter, panics};

use crate::buffers::{Buffers, ReadBuffer};
use crate::connection::Connection;
use crate::deadlines::{Timed, Wire, WriteTimeout};
use crate::ledger::Ledger;
use crate::listener::Listener;
use crate::net::Socket;
use crate::open_connections::{OpenConnection, OpenConnections};
use crate::permits::threads_limit;
use crate::workers::{Jobs, Next};

/// Sets of counters, which the connections use in turn: enough that two threads that run at once seldom write to the same
/// cache line, and few enough to be added up at any time.
const COUNTERS: usize = 16;

// ANCHOR: serve_connection
/// A service, as a server's threads see it: how one connection is served, from its first byte to its last.
pub(crate) trait ServeConnection: Send + Sync + 'static {
    /// Whether a connection has something in flight from the moment it is accepted.
    const BEGINS_IN_FLIGHT: bool;

    /// Serves `connection` and returns why it closes. Blocks until then.
    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason;

    /// Returns the counters of what it does besides serving connections.
    fn counters(&self) -> Option<&Counters> {
        None
    }

    /// Ends what it does besides serving connections, all of which have closed. Blocks until then.
    fn end(&self) {}
}
// ANCHOR_END: serve_connection

/// A service of real sockets, whatever it serves.
trait ServeSocket: Send + Sync {
    fn serve(&self, connection: &mut Connection<'_, Socket>) -> CloseReason;
    fn counters(&self) -> Option<&Counters>;
    fn end(&self);
}

impl<S: ServeConnection> ServeSocket for S {
    fn serve(&self, connection: &mut Connection<'_, Socket>) -> CloseReason {
        ServeConnection::serve(self, connection)
    }

    fn counters(&self) -> Option<&Counters> {
        ServeConnection::counters(self)
    }

    fn end(&self) {
        ServeConnection::end(self);
    }
}

/// The state that the threads of a server share.
pub(crate) struct ServerState {
    pub(crate) listener: Listener,
    pub(crate) open: OpenConnections,
    service: Box<dyn ServeSocket>,
    begins_in_flight: bool,
    limits: Limits,
    write_timeout: WriteTimeout,
    reporter: Reporter,
    counters: [Counters; COUNTERS],
    buffers: Buffers,
}

/// An accepted connection that waits for its thread to serve it.
#[derive(Debug)]
pub(crate) struct Accepted {
    socket: Socket,
    peer: SocketAddr,
    entry: Arc<OpenConnection>,
}

impl ServerState {
    /// Creates the state of a server that has no threads yet.
    pub(crate) fn new<S: ServeConnection>(
        listener: Listener,
        service: S,
        limits: Limits,
        reporter: Reporter,
    ) -> Self {
        Self {
            listener,
            open: OpenConnections::default(),
            service: Box::new(service),
            begins_in_flight: S::BEGINS_IN_FLIGHT,
            write_timeout: WriteTimeout::new(limits.write_timeout),
            limits,
            reporter,
            counters: Default::default(),
            buffers: Buffers::default(),
        }
    }

    /// Waits for a connection and adds it to the open ones.
    pub(crate) fn accept(&self) -> Next<Accepted> {
        loop {
            // Closing the listener wakes only the threads that wait to accept then, on some systems with one
            // connection each. So no thread may begin to wait after that.
            if self.open.is_closed() {
                return Next::Over;
            }
            let (socket, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(_) if self.open.is_closed() => return Next::Over,
                Err(error) if costs_one_connection(&error) => continue,
                Err(error) => return Next::Failed(error),
            };
            let entry = self.open.add(&socket, self.begins_in_flight);
            self.counters_of(&entry).accepted();
            return Next::Job(Accepted {
                socket,
                peer,
                entry,
            });
        }
    }

    /// Serves a connection to its end in the thread numbered `worker`. A panic costs this connection and is contained
    /// here (S20).
    pub(crate) fn serve(&self, worker: u32, accepted: Accepted) {
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
            ledger: Ledger::new(self.counters_of(&entry), &self.reporter, scene),
            state: &entry.state,
            limits: &self.limits,
            write_timeout: self.write_timeout,
            lingers: false,
        };
        // ANCHOR: contain_panics
        let served = panics::contain(|| {
            connection.ledger.accepted();
            let reason = self.service.serve(&mut connection);
            connection.prepare_close(reason);
            connection.ledger.close(reason);
        });
        if let Err(message) = served {
            // If the observer panicked, it may well panic again.
            let _ = panics::contain(|| connection.ledger.connection_panicked(message));
            connection.prepare_close(CloseReason::Panic);
        }
        // ANCHOR_END: contain_panics
        drop(connection);
        self.open.remove(&entry);
    }

    /// Waits until one more connection may be open (S16). Returns false if no more are accepted.
    pub(crate) fn wait_for_room(&self) -> bool {
        self.open.wait_for_room(self.limits.connections_max.max(1))
    }

    /// Accepting failed and will fail again: reports it and pauses (S17). Returns false if no more are accepted.
    pub(crate) fn pause_accepting(&self, cause: &io::Error) -> bool {
        self.report(Kind::AcceptFailed(cause.to_string()));
        self.open.pause(ACCEPT_RETRY)
    }

    /// Reports that connections wait for a thread.
    pub(crate) fn report_short_of_threads(&self, cause: &io::Error) {
        self.report(Kind::ShortOfThreads(format!(
            "no thread for the next connection, which waits: {cause}"
        )));
    }

    /// Returns the number of threads for `connections_max` connections. If a process may not have so many, reports that
    /// and returns the most that it may have.
    pub(crate) fn threads_max(&self) -> usize {
        let (wanted, limit) = (self.limits.connections_max, threads_limit());
        if wanted > limit {
            self.report(Kind::ShortOfThreads(format!(
                "{wanted} connections at once would take more threads than the {limit} that the kernel's limit on \
                 memory maps allows: the others wait"
            )));
        }
        wanted.clamp(1, limit)
    }

    /// Returns the counts up to now (S23).
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(self.counters.iter().chain(self.service.counters()))
    }

    /// Ends what the service does besides serving connections.
    pub(crate) fn end(&self) {
        self.service.end();
    }

    fn report(&self, kind: Kind) {
        // A panic of the observer must not end the thread that accepts.
        let _ = panics::contain(|| self.reporter.report(Scene::default(), kind));
    }

    fn counters_of(&self, entry: &OpenConnection) -> &Counters {
        &self.counters[entry.task as usize % COUNTERS]
    }

    /// Poisons every lock, as a panic of a thread that holds it would.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        self.open.poison();
        self.buffers.poison();
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerState")
            .field("listener", &self.listener)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// The job of a thread that accepts a connection and serves it, so that no connection is handed over.
#[derive(Debug)]
pub(crate) struct AcceptAndServe(pub(crate) Arc<ServerState>);

impl Jobs for AcceptAndServe {
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

    fn report_short_of_threads(&self, cause: &io::Error) {
        self.0.report_short_of_threads(cause);
    }
}
