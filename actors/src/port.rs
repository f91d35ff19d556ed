//! Ports: what a process owns of the outside world. What happens there becomes a message to the process, with the
//! bytes lent to it; Erlang calls a port that does so *active*. The sockets themselves are `net`'s.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

/// Something outside that a process owns and hears of.
pub trait Port: 'static {
    /// What the process hears. It may borrow from the arbiter's read buffer.
    type Event<'a>;

    /// The next event. `buffer` belongs to the arbiter and is shared by all ports in it.
    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<Self::Event<'b>>;
}

/// What a process has that owns no port.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPort;

impl Port for NoPort {
    type Event<'a> = std::convert::Infallible;

    fn poll<'b>(&mut self, _: &mut Context<'_>, _: &'b mut [u8]) -> Poll<Self::Event<'b>> {
        Poll::Pending
    }
}

/// A stream of bytes in both directions: a socket, or a test's pipe.
pub trait Stream: Unpin + 'static {
    /// Reads what there is. `Ok(0)`: the other end has finished sending.
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Takes what it can of `bytes` without waiting; `Ok(0)` when it can take none now.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// The same, and takes what there is room for even if [`Stream::poll_writable`] has not announced it, as it does
    /// only when there is much.
    fn try_write_unannounced(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Whether [`Stream::try_write`] would take a byte.
    fn poll_writable(&mut self, turn: &mut Context<'_>) -> Poll<()>;
    /// Sends FIN after what was written.
    fn finish(&mut self);
}

/// What is heard from a [`Tcp`] port: Erlang's `{tcp, Socket, Data}`, `{tcp_closed, Socket}` and
/// `{tcp_error, Socket, Reason}`, and that an unfinished write may go on.
#[derive(Debug)]
pub enum TcpEvent<'a> {
    /// Bytes came.
    Data(&'a [u8]),
    /// The other end has finished sending; it may still read.
    Closed,
    /// The connection broke.
    Error(io::Error),
    /// A write that was cut short may go on.
    Writable,
}

/// A port over a stream. It reads while it is active, which it is to begin with.
#[derive(Debug)]
pub struct Tcp<S> {
    stream: Option<S>,
    active: bool,
    blocked: bool,
    /// The stream may have room that it has not announced.
    unannounced: bool,
}

impl<S> Tcp<S> {
    /// A port on a stream that is open.
    pub fn open(stream: S) -> Self {
        Self {
            stream: Some(stream),
            active: true,
            blocked: false,
            unannounced: false,
        }
    }

    /// A port that is not yet, or no longer, connected: nothing is heard from it.
    pub fn closed() -> Self {
        Self {
            stream: None,
            active: false,
            blocked: false,
            unannounced: false,
        }
    }

    /// What it is a port on, while that is open.
    pub(crate) fn stream(&self) -> Option<&S> {
        self.stream.as_ref()
    }

    /// Whether what comes is read (Erlang's `{active, true}`). What is not read waits in the kernel.
    pub fn set_active(&mut self, active: bool) {
        self.active = active;
    }
}

impl<S: Stream> Tcp<S> {
    /// Writes what the stream takes now, and says how much. After a short write `Writable` is heard once more can
    /// be taken.
    ///
    /// # Errors
    /// The connection broke.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let taken = stream.try_write(bytes)?;
        self.blocked = taken < bytes.len();
        if self.blocked && std::mem::take(&mut self.unannounced) && taken == 0 {
            return self.write_unannounced(bytes);
        }
        Ok(taken)
    }

    /// The same after a short write, without `Writable` having been heard: a peer that reads slowly takes bytes long
    /// before there is so much room that it is announced. If none are taken, the peer has taken none since.
    ///
    /// What room is left then, later writes take; left for the next timeout, it would pass for a sign of life.
    ///
    /// # Errors
    /// The connection broke.
    #[cold]
    pub fn write_unannounced(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let taken = stream.try_write_unannounced(bytes)?;
        self.blocked = taken < bytes.len();
        self.unannounced = !self.blocked;
        Ok(taken)
    }

    /// Sends FIN after what was written.
    pub fn finish(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.finish();
        }
    }
}

impl<S: Stream> Port for Tcp<S> {
    type Event<'a> = TcpEvent<'a>;

    #[inline]
    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<TcpEvent<'b>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        if self.blocked && stream.poll_writable(turn).is_ready() {
            self.blocked = false;
            return Poll::Ready(TcpEvent::Writable);
        }
        if !self.active {
            return Poll::Pending;
        }
        Poll::Ready(match ready!(stream.poll_read(turn, buffer)) {
            Ok(0) => {
                self.active = false;
                TcpEvent::Closed
            }
            Ok(count) => TcpEvent::Data(&buffer[..count]),
            Err(error) => {
                self.active = false;
                TcpEvent::Error(error)
            }
        })
    }
}

/// Where connections come from: a listening socket, or a test's.
pub trait Listen: 'static {
    /// What it hands out.
    type Socket;

    /// The next connection and the address of its other end.
    fn poll_accept(
        &mut self,
        turn: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Socket, SocketAddr)>>;
}

/// A port over a listener. It accepts as many connections as it was given room for, then waits for more room
/// (Erlang's `{active, N}`).
#[derive(Debug)]
pub struct Listening<L> {
    listener: L,
    room: usize,
    paused: bool,
}

impl<L> Listening<L> {
    /// A port without room.
    pub fn new(listener: L) -> Self {
        Self {
            listener,
            room: 0,
            paused: false,
        }
    }

    /// Makes room for `connections` more.
    pub fn add_room(&mut self, connections: usize) {
        self.room += connections;
    }

    /// Whether to accept nothing although there is room.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }
}

impl<L: Listen> Port for Listening<L> {
    type Event<'a> = io::Result<(L::Socket, SocketAddr)>;

    fn poll<'b>(&mut self, turn: &mut Context<'_>, _: &'b mut [u8]) -> Poll<Self::Event<'b>> {
        if self.room == 0 || self.paused {
            return Poll::Pending;
        }
        let accepted = ready!(self.listener.poll_accept(turn));
        self.room -= usize::from(accepted.is_ok());
        Poll::Ready(accepted)
    }
}
