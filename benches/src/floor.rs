//! The floor: the least a transform server can cost on this machine, which ratios are to (MEASURING 2).
//!
//! One thread, epoll through mio, one `recv` into a shared buffer and one `send` per event. It decodes requests, however
//! they are cut or pipelined, answers them as every server does, and closes as S5 to S7 ask. It has no timers, no
//! limits on connections or time, no counters, no log, no shutdown, no care for panics, and no buffer for an idle
//! connection; and it goes on reading from a peer that does not take its replies. It is no server to put anywhere.

mod connection;
mod wire;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use poetry::error::costs_one_connection;
use slab::Slab;

use connection::{Connection, Desk, Fate};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

/// The floor, ready to serve.
pub struct Floor {
    poll: Poll,
    listener: mio::net::TcpListener,
    connections: Slab<Connection>,
    desk: Desk,
}

impl Floor {
    /// Serves on a bound `listener`, whose options accepted sockets inherit; one-shot unless `keep_alive`.
    ///
    /// # Errors
    /// What the system says.
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
            desk: Desk::new(keep_alive),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
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
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(key) => self.serve(key, event)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(Connection::new(stream))?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if costs_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The request has often come with the connection, and is answered before the poll is told of it.
    fn welcome(&mut self, mut connection: Connection) -> io::Result<()> {
        let fate = connection.serve(false, &mut self.desk);
        if fate == Fate::Ended {
            return Ok(());
        }
        let entry = self.connections.vacant_entry();
        let registry = self.poll.registry();
        registry.register(connection.stream(), Token(entry.key()), interest(fate))?;
        entry.insert(connection);
        Ok(())
    }

    fn serve(&mut self, key: usize, event: &Event) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        match connection.serve(event.is_read_closed(), &mut self.desk) {
            Fate::Open => {}
            Fate::Ended => {
                self.connections.remove(key);
            }
            fate @ Fate::Unsent => {
                let registry = self.poll.registry();
                registry.reregister(connection.stream(), Token(key), interest(fate))?;
            }
        }
        Ok(())
    }
}

/// That a socket takes bytes is only told when some wait.
fn interest(fate: Fate) -> Interest {
    match fate {
        Fate::Unsent => Interest::READABLE | Interest::WRITABLE,
        Fate::Open | Fate::Ended => Interest::READABLE,
    }
}
