//! The real sockets and the real clock; no other file names them. Everything above uses the crate's own streams, listeners
//! and times, so that it can be tested in memory and on virtual time.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::{self, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poetry::error::is_reset_after_fin;
use socket2::{Domain, SockRef, Type};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::dial::Connect;
use crate::port::{IoData, Listen, Stream};
use crate::timers::Timers;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The longest wait. A process that wants no bound sets `Duration::MAX`, which an [`Instant`] cannot represent.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Returns the monotonic time since the first call.
pub(crate) fn now() -> Duration {
    ORIGIN.elapsed()
}

/// Fires an arbiter's deadlines as they come due; never returns.
pub(crate) async fn drive(timers: &Timers) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now().into()));
    loop {
        poll_fn(|turn| {
            let first = timers.first(turn.waker());
            // Without a deadline, the first one inserted wakes this task.
            let Some(due) = first else {
                return Poll::Pending::<()>;
            };
            if due <= timers.now() {
                return Poll::Ready(());
            }
            let due = (*ORIGIN + due.min(NEVER)).into();
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            sleep.as_mut().poll(turn)
        })
        .await;
        timers.fire();
    }
}

/// How bytes are sent: without a signal if the peer is gone (`MSG_NOSIGNAL`).
const AT_ONCE: i32 = if cfg!(target_os = "linux") { 0x4000 } else { 0 };
/// The same, but the last segment waits for FIN (`MSG_MORE`): one segment less for the kernels at both ends (MEASURING).
const WITH_FIN: i32 = if cfg!(target_os = "linux") { 0xc000 } else { 0 };

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// [`AT_ONCE`] or [`WITH_FIN`].
    flags: i32,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            flags: AT_ONCE,
        }
    }

    #[inline]
    fn send(&self, data: IoData<'_>) -> io::Result<usize> {
        let socket = SockRef::from(&self.stream);
        match data {
            IoData::Binary(bytes) => socket.send_with_flags(bytes, self.flags),
            IoData::List(list) => socket.send_vectored_with_flags(list, self.flags),
        }
    }

    /// Takes the socket out of this arbiter, to send it to another.
    pub(crate) fn release(self) -> io::Result<Released> {
        self.stream.into_std().map(Released)
    }
}

/// A connected socket that belongs to no arbiter.
#[derive(Debug)]
pub(crate) struct Released(net::TcpStream);

impl Released {
    /// Registers the socket with this arbiter.
    pub(crate) fn adopt(self) -> io::Result<Socket> {
        TcpStream::from_std(self.0).map(Socket::new)
    }
}

impl Connect for Socket {
    // ANCHOR: connect
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let stream = TcpStream::from_std(socket.into())?;
        // Not tokio's connect, which fails if the peer sent a poem, FIN and a reset before this looks.
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) if !is_reset_after_fin(&error) => Err(error),
            _ => Ok(Self::new(stream)),
        }
    }
    // ANCHOR_END: connect

    fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    fn is_self_connected(&self) -> bool {
        match (self.stream.local_addr(), self.stream.peer_addr()) {
            (Ok(local), Ok(peer)) => local == peer,
            _ => false,
        }
    }
}

/// Returns whether a nonblocking connect goes on: EINPROGRESS, or WouldBlock where that is the error.
fn is_under_way(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS)
}

impl Stream for Socket {
    #[inline]
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // Unlike `try_read`, this knows without a system call that nothing is left after a short read.
        let mut buffer = ReadBuf::new(buffer);
        let read = Pin::new(&mut self.stream).poll_read(turn, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    fn try_read_unannounced(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // Bypasses tokio, which makes no system call until it has seen that the socket is readable.
        match (&*SockRef::from(&self.stream)).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        }
    }

    #[inline]
    fn try_write(&mut self, data: IoData<'_>) -> io::Result<usize> {
        let send = || self.send(data);
        match self.stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        }
    }

    fn try_write_unannounced(&mut self, data: IoData<'_>) -> io::Result<usize> {
        // Bypasses tokio, which makes no system call until the socket is announced writable. Linux announces it only when
        // a third of the send buffer is free.
        match self.send(data) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        }
    }

    fn poll_writable(&mut self, turn: &mut Context<'_>) -> Poll<()> {
        // The next write returns the error, if there is one.
        self.stream.poll_write_ready(turn).map(|_| ())
    }

    fn send_with_fin(&mut self) {
        self.flags = WITH_FIN;
    }

    fn finish(&mut self) {
        // This fails only if the connection is gone, which the next read reports.
        let _ = SockRef::from(&self.stream).shutdown(net::Shutdown::Write);
    }

    fn abort(self) {
        // If this fails, the close is an ordinary one.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// A descriptor without a use. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Spare(#[expect(dead_code, reason = "held, not used")] socket2::Socket);

impl Spare {
    /// Takes a descriptor.
    pub(crate) fn take() -> io::Result<Self> {
        socket2::Socket::new(Domain::IPV4, Type::STREAM, None).map(Self)
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Registers a bound listener with this arbiter.
    pub(crate) fn adopt(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self)
    }
}

impl Listen for Listener {
    type Socket = Socket;

    fn poll_accept(&mut self, turn: &mut Context<'_>) -> Poll<io::Result<(Socket, SocketAddr)>> {
        let accepted = self.0.poll_accept(turn);
        accepted.map_ok(|(stream, peer)| (Socket::new(stream), peer))
    }
}

/// A socket on its way from the acceptor to a connection supervisor.
#[derive(Debug)]
pub(crate) enum Handed {
    /// Both run in the same arbiter.
    Here(Socket),
    /// The socket goes to another arbiter.
    Released(Released),
}

impl Handed {
    /// Registers the socket with this arbiter.
    pub(crate) fn adopt(self) -> io::Result<Socket> {
        match self {
            Self::Here(socket) => Ok(socket),
            Self::Released(released) => released.adopt(),
        }
    }
}

#[cfg(test)]
mod tests;
