//! Servers that are hostile or slow, each in one way and under one name; and the stand they play from.
//!
//! A [`FakeServer`] serves every connection in the same way from threads of its own. A [`Listener`] is played by the case
//! itself, line by line, where the order of things matters.

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

use crate::PATIENCE;
use crate::connection::Connection;
use crate::failure::{Check, During, Failure, os_result};

/// What a stand does with one connection. An error ends that connection and nothing else.
pub trait Behaviour: Send + Sync + 'static {
    /// Serves one connection to its end.
    ///
    /// # Errors
    /// The client is gone, or not as it should be.
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
    /// A stand on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn start(behaviour: impl Behaviour) -> Check<Self> {
        let listener = listen(([127, 0, 0, 1], 0).into()).during("binding a stand")?;
        let address = listener.local_addr().during("binding a stand")?;
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
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
        let Ok(connection) = stream.and_then(Connection::of) else {
            continue;
        };
        accepted.fetch_add(1, Ordering::SeqCst);
        let behaviour = Arc::clone(&behaviour);
        // What the client makes of it is judged at the client; here an error is the end of a connection.
        thread::spawn(move || drop(behaviour.serve(connection)));
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Listens with a backlog that holds whatever a case sends at once: what does not fit is dropped, and comes again only
/// seconds later.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// A server that the case plays itself.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// A stage on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn new() -> Check<Self> {
        Self::at(([127, 0, 0, 1], 0).into()).during("binding a stage")
    }

    /// A stage at `address`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next client, waited for.
    ///
    /// # Errors
    /// None comes.
    pub fn accept(&self) -> Check<Connection> {
        let accepted = self.listener.accept();
        let (stream, _) = os_result(accepted, "expected a client to connect")?;
        Connection::of(stream).during("setting up a connection")
    }

    /// Whether nobody has connected who was not accepted.
    ///
    /// # Errors
    /// Somebody has.
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
            Ok((_, peer)) => Err(Failure::Broken(format!("expected no client, came {peer}"))),
        }
    }
}
