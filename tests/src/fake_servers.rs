//! Fake servers, each named for what it does: hostile ones, slow ones, and well-behaved ones for comparison.
//!
//! A [`FakeServer`] serves every connection in the same way, in its own threads. With a [`Listener`] the case plays the server
//! itself, step by step, where the order of events matters.

pub mod broken;
pub mod endless;
pub mod serves;
pub mod unreachable;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use poetry::limits::LISTEN_BACKLOG;
use socket2::{Domain, SockRef, Socket, Type};

pub use broken::{ClosesWithoutReply, CutsReply, RepliesGarbage, RepliesTooLong, ResetsOnRequest};
pub use endless::{NeverAnswers, NeverReplies, SendsForever, TricklesForever};
pub use serves::{Replies, Serves, ServesByteByByte};
pub use unreachable::{NeverAccepts, Refuses};

use crate::WAIT_MAX;
use crate::connection::Connection;
use crate::failure::{Check, During, Failure, os_result};

/// What a fake server does with each connection. An error ends only that connection.
pub trait Behaviour: Send + Sync + 'static {
    /// Serves one connection to its end.
    ///
    /// # Errors
    /// The client has closed, or did something unexpected.
    fn serve(&self, connection: Connection) -> Check;
}

/// A server that behaves in one way.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts a fake server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn start(behaviour: impl Behaviour) -> Check<Self> {
        let listener = listen(([127, 0, 0, 1], 0).into()).during("binding a fake server")?;
        let address = listener.local_addr().during("binding a fake server")?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let (count, stop) = (Arc::clone(&accepted), Arc::clone(&stopped));
        let thread =
            thread::spawn(move || accept_all(&listener, Arc::new(behaviour), &count, &stop));
        Ok(Self {
            address,
            accepted,
            stopped,
            thread: Some(thread),
        })
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn accept_all(
    listener: &TcpListener,
    behaviour: Arc<impl Behaviour>,
    accepted: &AtomicUsize,
    stopped: &AtomicBool,
) {
    for stream in listener.incoming() {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = stream.and_then(Connection::new) else {
            continue;
        };
        accepted.fetch_add(1, Ordering::SeqCst);
        let behaviour = Arc::clone(&behaviour);
        // The case checks the client; an error here only ends the connection.
        thread::spawn(move || drop(behaviour.serve(connection)));
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread from its accept, so that it sees the flag.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Listens with a backlog that holds all connections of a case. The kernel drops a connection that does not fit, and the client
/// retries only seconds later.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket, for a server that the case plays itself.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn new() -> Check<Self> {
        Self::at(([127, 0, 0, 1], 0).into()).during("binding a listener")
    }

    /// Listens on `address`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        Self::from_socket(listen(address)?.into())
    }

    fn from_socket(socket: Socket) -> io::Result<Self> {
        let listener = TcpListener::from(socket);
        SockRef::from(&listener).set_read_timeout(Some(WAIT_MAX))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// No client connects within [`WAIT_MAX`].
    pub fn accept(&self) -> Check<Connection> {
        let accepted = self.listener.accept();
        let (stream, _) = os_result(accepted, "expected a client to connect")?;
        Connection::new(stream).during("setting up a connection")
    }

    /// Expects that no further client has connected.
    ///
    /// # Errors
    /// A client has.
    pub fn expect_no_client(&self) -> Check {
        self.listener
            .set_nonblocking(true)
            .during("looking for clients")?;
        let accepted = self.listener.accept();
        self.listener
            .set_nonblocking(false)
            .during("looking for clients")?;
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).during("looking for clients"),
            Ok((_, peer)) => Err(Failure::Broken(format!(
                "expected no client, but {peer} connected"
            ))),
        }
    }
}
