//! The floor: a minimal transform server, the baseline of every ratio (MEASURING 2).
//!
//! One thread, epoll through mio, one `recv` into a shared buffer and one `send` per event. It decodes split
//! and pipelined requests, answers them as every server does, and closes as S5 to S7 require. It has no timers, limits,
//! counters, log, shutdown, panic handling or buffer for an idle connection, and it keeps reading from a peer that does
//! not take its replies. Do not deploy it.

mod connection;
mod thread;
mod wire;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use poetry::error::costs_one_connection;
use slab::Slab;

pub(crate) use thread::FloorThread;

use connection::{Connection, Shared, Status};

/// Events taken from the kernel per poll.
const EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

/// The floor, ready to serve.
pub struct Floor {
    poll: Poll,
    listener: mio::net::TcpListener,
    connections: Slab<Connection>,
    shared: Shared,
}

impl Floor {
    /// Creates a floor on a bound `listener`, whose options accepted sockets inherit; one-shot unless `keep_alive`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(listener: TcpListener, keep_alive: bool) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Slab::new(),
            shared: Shared::new(keep_alive),
        })
    }

    /// Returns the address it listens on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The poll failed, or no connection can be accepted.
    pub fn run(mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.turn(&mut events)?;
        }
    }

    /// Waits for events and handles them.
    #[inline]
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &*events {
            match event.token() {
                LISTENER => self.accept()?,
                Token(key) => self.serve(key, event)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(Connection::new(stream))?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if costs_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves a new connection before registering it: its first request has often arrived already.
    fn admit(&mut self, mut connection: Connection) -> io::Result<()> {
        let status = connection.serve(false, &mut self.shared);
        if status == Status::Ended {
            return Ok(());
        }
        let entry = self.connections.vacant_entry();
        let registry = self.poll.registry();
        registry.register(connection.stream(), Token(entry.key()), interest(status))?;
        entry.insert(connection);
        Ok(())
    }

    fn serve(&mut self, key: usize, event: &Event) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        match connection.serve(event.is_read_closed(), &mut self.shared) {
            Status::Open => {}
            Status::Ended => {
                self.connections.remove(key);
            }
            status @ Status::Unsent => {
                let registry = self.poll.registry();
                registry.reregister(connection.stream(), Token(key), interest(status))?;
            }
        }
        Ok(())
    }
}

/// Asks for writability only while bytes are unsent.
fn interest(status: Status) -> Interest {
    match status {
        Status::Unsent => Interest::READABLE | Interest::WRITABLE,
        Status::Open | Status::Ended => Interest::READABLE,
    }
}
