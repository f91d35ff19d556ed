//! The open connections of a server: a shutdown finds and wakes their threads here, and a thread that may accept no more
//! waits here for one to close.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::net::{self, HangUp, Socket};
use crate::shutdown_state::ShutdownState;

/// The open connections of a server.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    /// Whether no more connections are accepted.
    closed: bool,
    stopping: bool,
    /// Whether the grace is over.
    cut: bool,
    /// Connections that had something in flight when the shutdown began, or when they were added since.
    in_flight: u64,
    /// Threads that wait for a connection to close. If there are none, closing a connection needs no system call.
    waiting: usize,
    added: u64,
    connections: HashMap<u64, Arc<OpenConnection>>,
}

/// An open connection: its state, and how to wake its thread.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    /// Its number, in the order of accepts.
    pub(crate) task: u64,
    /// What its thread and a shutdown know of each other.
    pub(crate) state: ShutdownState,
    hang_up: HangUp,
    thread: Mutex<Option<Thread>>,
}

impl OpenConnection {
    /// The calling thread serves it from now on.
    pub(crate) fn serve_here(&self) {
        *self.thread() = Some(thread::current());
    }

    /// Ends the read or the pause that its thread is blocked in; a write ends soon by itself. If it waits in a queue, the
    /// thread that takes it later finds it cut. This sends no FIN: its thread resets the connection if something is owed (S21).
    fn cut(&self) {
        self.state.cut();
        self.hang_up.reading();
        if let Some(thread) = &*self.thread() {
            thread.unpark();
        }
    }

    /// The handle is set by one statement, so a poisoned lock does no harm.
    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Adds a connection. If a thread has accepted it just before the shutdown, it is treated as those that were open then: its
    /// client knows that it is connected.
    pub(crate) fn add(&self, socket: &Socket, in_flight: bool) -> Arc<OpenConnection> {
        let mut table = self.table();
        let connection = Arc::new(OpenConnection {
            task: table.added,
            state: ShutdownState::new(in_flight),
            hang_up: socket.hang_up(),
            thread: Mutex::default(),
        });
        table.added += 1;
        table
            .connections
            .insert(connection.task, Arc::clone(&connection));
        if table.stopping {
            match connection.state.begin_shutdown() {
                true => table.in_flight += 1,
                false => connection.hang_up.reading(),
            }
        }
        if table.cut {
            connection.cut();
        }
        connection
    }

    /// Removes a connection that has closed.
    pub(crate) fn remove(&self, connection: &OpenConnection) {
        let mut table = self.table();
        table.connections.remove(&connection.task);
        if table.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Ends accepting: wakes what waits for room.
    pub(crate) fn close(&self) {
        self.table().closed = true;
        self.changed.notify_all();
    }

    /// Returns whether no more connections are accepted.
    pub(crate) fn is_closed(&self) -> bool {
        self.table().closed
    }

    /// Begins a shutdown: no more connections are accepted, and the idle ones are closed.
    pub(crate) fn begin_shutdown(&self) {
        let mut table = self.table();
        (table.closed, table.stopping) = (true, true);
        self.changed.notify_all();
        let (busy, idle): (Vec<_>, Vec<_>) =
            (table.connections.values()).partition(|connection| connection.state.begin_shutdown());
        idle.iter()
            .for_each(|connection| connection.hang_up.reading());
        let in_flight = busy.len() as u64;
        table.in_flight += in_flight;
    }

    /// Returns how many connections had something in flight at the shutdown.
    pub(crate) fn in_flight_at_shutdown(&self) -> u64 {
        self.table().in_flight
    }

    /// Returns whether a shutdown has begun.
    #[cfg(test)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.table().stopping
    }

    /// Waits for `at_most`. Returns false if no more connections are accepted.
    pub(crate) fn pause(&self, at_most: Duration) -> bool {
        !self
            .wait_while(self.table(), at_most, |table| !table.closed)
            .closed
    }

    /// Waits until fewer than `connections_max` are open. Returns false if no more are accepted.
    pub(crate) fn wait_for_room(&self, connections_max: usize) -> bool {
        let full = |table: &Table| !table.closed && table.connections.len() >= connections_max;
        let mut table = self.table();
        table.waiting += 1;
        table = self.wait_while(table, Duration::MAX, full);
        table.waiting -= 1;
        !table.closed
    }

    /// Waits until none is open, for up to `grace`.
    pub(crate) fn wait_until_empty(&self, grace: Duration) {
        let mut table = self.table();
        table.waiting += 1;
        table = self.wait_while(table, grace, |table| !table.connections.is_empty());
        table.waiting -= 1;
    }

    /// Waits while `condition` holds, for up to `at_most`. `Condvar::wait_timeout_while` would return at the first wake-up
    /// once the lock is poisoned.
    fn wait_while<'t>(
        &self,
        mut table: MutexGuard<'t, Table>,
        at_most: Duration,
        condition: impl Fn(&Table) -> bool,
    ) -> MutexGuard<'t, Table> {
        let deadline = net::now().saturating_add(at_most);
        while condition(&table) {
            let left = deadline.saturating_sub(net::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(table, left);
            table = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        table
    }

    /// Cuts every connection that is still open, and wakes its thread.
    pub(crate) fn cut(&self) {
        let mut table = self.table();
        table.cut = true;
        table
            .connections
            .values()
            .for_each(|connection| connection.cut());
    }

    /// The table is consistent after every statement, so a poisoned lock does no harm.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl OpenConnections {
    /// Poisons the lock, as a panic of a thread that holds it would.
    pub(crate) fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _table = self.table.lock();
            panic!("while the table is locked")
        });
        assert!(poisoned == Err::<(), _>("while the table is locked".to_owned()));
        assert!(self.table.is_poisoned());
    }
}
