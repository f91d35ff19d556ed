//! The system's sockets, its poll and its clock: the one file that names them. `memory.rs` offers the same for tests;
//! everything above uses either.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::memory::{End, Network};
use super::wake::Wake;

/// The token of the waker: calls from other threads wait. No port and no connection has it.
pub(super) const WAKE: usize = u32::MAX as usize;
/// Events taken from the kernel in one poll: 12 KiB of them.
pub(super) const EVENTS_MAX: usize = 1_024;

/// Readiness of one socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer has finished, or the connection is broken: reading reaches the end.
    pub(super) ended: bool,
}

/// A connected, or connecting, socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Memory(End),
}

/// The flags of a send: no signal if the peer is gone (`MSG_NOSIGNAL`) and, `with_fin`, the last segment waits for FIN (`MSG_MORE`):
/// one segment less for the kernels at both ends (MEASURING).
#[inline]
fn flags(with_fin: bool) -> i32 {
    match with_fin {
        _ if cfg!(not(target_os = "linux")) => 0,
        true => 0xc000,
        false => 0x4000,
    }
}

impl Socket {
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Memory(end) => end.receive(buffer),
        }
    }

    /// Sends bytes. If FIN follows at once, they go out `with_fin`.
    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8], with_fin: bool) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => SockRef::from(&*stream).send_with_flags(bytes, flags(with_fin)),
            Self::Memory(end) => end.send(bytes),
        }
    }

    /// Sends pieces that follow one another, in one system call.
    pub(super) fn send_all(&mut self, pieces: &[IoSlice<'_>], with_fin: bool) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                SockRef::from(&*stream).send_vectored_with_flags(pieces, flags(with_fin))
            }
            Self::Memory(end) => end.send_all(pieces),
        }
    }

    /// Sends FIN behind the bytes sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Memory(end) => {
                end.finish();
                Ok(())
            }
        }
    }

    /// Makes the coming close a reset.
    pub(super) fn reset_on_close(&self) {
        match self {
            // It fails only on a socket that is broken already.
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            Self::Memory(end) => end.reset_on_close(),
        }
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Memory(end) => Ok(end.local()),
        }
    }

    /// Returns whether the connection that was begun is established.
    ///
    /// # Errors
    /// It never will be, or it is connected to itself.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                match stream.peer_addr() {
                    Ok(peer) if is_same_end(stream.local_addr()?, peer) => {
                        // Reset on close, because TIME_WAIT would keep a server from this port for a minute.
                        self.reset_on_close();
                        Err(io::Error::other(SelfConnected))
                    }
                    Ok(_) => stream.set_nodelay(true).map(|()| true),
                    // Still connecting, or failed: the system reports the error once.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        match stream.take_error()? {
                            None => Ok(false),
                            // Established and ended since: what the peer sent can still be read.
                            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
                            Some(error) => Err(error),
                        }
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Memory(end) => end.is_connected(),
        }
    }
}

/// A socket that TCP has connected to itself: the free port that was dialled is also the source port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connected to itself")]
pub(crate) struct SelfConnected;

fn is_same_end(local: SocketAddr, peer: SocketAddr) -> bool {
    local.port() == peer.port() && local.ip() == peer.ip()
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener(TcpListener);

/// A connection that a port has accepted and no reactor serves yet. It may be sent to another thread.
#[derive(Debug)]
pub struct Accepted {
    pub(super) stream: Stream,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The number of this connection among the port's, from 0.
    pub serial: u64,
}

#[derive(Debug)]
pub(super) struct Stream(TcpStream);

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self::Tcp(stream.0)
    }
}

impl Listener {
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(TcpListener::from_std(listener)))
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept()?;
        Ok((Stream(stream), peer))
    }
}

/// The source of readiness, wakes and time.
#[derive(Debug)]
pub(super) enum Driver {
    System(System),
    Memory(Network),
}

#[derive(Debug)]
pub(super) struct System {
    poll: RefCell<(Poll, Events)>,
    waker: Arc<Waker>,
    pub(super) group: Group,
}

/// What the reactors of one program share. Clones are the same group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The origin of their clocks, so that each can read the others' times.
    origin: Instant,
    /// How many connections they have initiated that are open or being made.
    pub(super) initiated: Arc<AtomicUsize>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            initiated: Arc::default(),
        }
    }
}

impl System {
    pub(super) fn new(group: &Group) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(WAKE))?);
        Ok(Self {
            poll: RefCell::new((poll, Events::with_capacity(EVENTS_MAX))),
            waker,
            group: group.clone(),
        })
    }
}

impl Driver {
    pub(super) fn wake(&self) -> Wake {
        match self {
            Self::System(system) => Wake::System(Arc::clone(&system.waker)),
            Self::Memory(_) => Wake::Unneeded,
        }
    }

    /// Waits up to `timeout`, or without bound, and appends what is ready to `ready`.
    pub(super) fn poll(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) {
        match self {
            Self::System(system) => {
                let (poll, events) = &mut *system.poll.borrow_mut();
                if poll.poll(events, timeout).is_ok() {
                    ready.extend(events.iter().map(|event| Ready {
                        token: event.token().0,
                        readable: event.is_readable(),
                        writable: event.is_writable(),
                        ended: event.is_read_closed() || event.is_error(),
                    }));
                }
            }
            Self::Memory(network) => network.poll(ready),
        }
    }

    /// Returns a function that reads the time since the group's origin, without the reactor.
    pub(super) fn clock(&self) -> Box<dyn Fn() -> Duration> {
        match self {
            Self::System(system) => {
                let origin = system.group.origin;
                Box::new(move || origin.elapsed())
            }
            Self::Memory(network) => {
                let network = network.clone();
                Box::new(move || network.now())
            }
        }
    }

    /// Returns the time since the group's origin.
    pub(super) fn now(&self) -> Duration {
        match self {
            Self::System(system) => system.group.origin.elapsed(),
            Self::Memory(network) => network.now(),
        }
    }

    /// Begins to connect to `peer`. The connection counts until [`connection_ended`](Self::connection_ended).
    pub(super) fn connect(&self, peer: SocketAddr) -> io::Result<Socket> {
        match self {
            Self::System(system) => {
                let stream = TcpStream::connect(peer)?;
                system.group.initiated.fetch_add(1, Ordering::Relaxed);
                Ok(Socket::Tcp(stream))
            }
            Self::Memory(network) => network.dial(peer).map(Socket::Memory),
        }
    }

    pub(super) fn listen(&self, listener: &mut Listener, token: usize) -> io::Result<()> {
        match self {
            Self::System(system) => {
                let poll = system.poll.borrow();
                let registry = poll.0.registry();
                registry.register(&mut listener.0, Token(token), Interest::READABLE)
            }
            Self::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Watches `socket` for input, and for room to write if `writable`.
    pub(super) fn register(
        &self,
        socket: &mut Socket,
        token: usize,
        writable: bool,
    ) -> io::Result<()> {
        match (self, socket) {
            (Self::System(system), Socket::Tcp(stream)) => {
                let poll = system.poll.borrow();
                poll.0
                    .registry()
                    .register(stream, Token(token), interest(writable))
            }
            (_, Socket::Memory(end)) => end.register(token),
            (Self::Memory(_), Socket::Tcp(_)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Watches `socket` for room to write too.
    pub(super) fn watch_room(&self, socket: &mut Socket, token: usize) -> io::Result<()> {
        match (self, socket) {
            (Self::System(system), Socket::Tcp(stream)) => {
                let poll = system.poll.borrow();
                poll.0
                    .registry()
                    .reregister(stream, Token(token), interest(true))
            }
            _ => Ok(()),
        }
    }
}

fn interest(writable: bool) -> Interest {
    if writable {
        Interest::READABLE | Interest::WRITABLE
    } else {
        Interest::READABLE
    }
}
