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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use poetry::limits::LISTEN_BACKLOG;
use socket2::{Domain, SockRef, Socket, Type};

pub use broken::{ClosesWithoutReply, CutsReply, RepliesGarbage, RepliesTooLong, ResetsOnRequest};
pub use endless::{NeverAnswers, NeverReplies, SendsForever, TricklesForever};
pub use serves::{Replies, RepliesThenResets, Serves, ServesByteByByte};
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
    ended: Arc<Ended>,
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
        let ended = Arc::new(Ended::default());
        let (count, stop) = (Arc::clone(&accepted), Arc::clone(&stopped));
        let ends = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            accept_all(&listener, &Arc::new(behaviour), &count, &ends, &stop);
        });
        Ok(Self {
            address,
            accepted,
            ended,
            stopped,
            thread: Some(thread),
        })
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the count of the connections that it has served to their end.
    pub fn ended(&self) -> Arc<Ended> {
        Arc::clone(&self.ended)
    }

    /// Returns how many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// How many connections have been served to their end; threads wait for more.
#[derive(Debug, Default)]
pub struct Ended {
    count: Mutex<usize>,
    more: Condvar,
}

impl Ended {
    fn one_more(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.more.notify_all();
    }

    /// Waits until `count` connections have ended; returns whether they have within [`WAIT_MAX`].
    pub fn wait_for(&self, count: usize) -> bool {
        let counter = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .more
            .wait_timeout_while(counter, WAIT_MAX, |ended| *ended < count);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

fn accept_all(
    listener: &TcpListener,
    behaviour: &Arc<impl Behaviour>,
    accepted: &AtomicUsize,
    ended: &Arc<Ended>,
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
        let (behaviour, ended) = (Arc::clone(behaviour), Arc::clone(ended));
        thread::spawn(move || {
            // The case checks the client; an error here only ends the connection.
            drop(behaviour.serve(connection));
            ended.one_more();
        });
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

    /// Listens on a free port of 127.0.0.1, with receive buffers of about `bytes`, so that further bytes wait at the client.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn narrow(bytes: usize) -> Check<Self> {
        let listener = Self::new()?;
        // Connections inherit it.
        SockRef::from(&listener.listener)
            .set_recv_buffer_size(bytes)
            .during("setting a buffer")?;
        Ok(listener)
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
