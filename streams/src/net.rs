//! The real network: the only file that names a socket. The rest of the crate takes any byte stream and tokio's clock,
//! which tests can pause and advance.

use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use poetry::error::{costs_one_connection, is_reset_after_fin};
use poetry::event::Scene;
use poetry::limits::ACCEPT_RETRY;
use poetry::{FetchFailure, Kind, Reporter, panics};
use socket2::{Domain, SockRef, Type};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::connection::{Arrival, ByteStream};
use crate::yielding::Yielding;

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Accepted<S> {
    pub(crate) socket: S,
    pub(crate) arrival: Box<Arrival>,
}

impl<S> Accepted<S> {
    /// Converts the socket.
    pub(crate) fn try_map<T>(
        self,
        convert: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Accepted<T>> {
        Ok(Accepted {
            socket: convert(self.socket)?,
            arrival: self.arrival,
        })
    }
}

/// The connections that `listener` accepts, each with a permit. While no permit is left, connections wait in the
/// kernel's backlog (S16). When the system cannot accept, this tries again a little later (S17).
///
/// # Errors
/// Fails if the runtime cannot watch the listener. Must be called in a tokio runtime.
pub(crate) fn connections(
    listener: std::net::TcpListener,
    permits: Arc<Semaphore>,
    reporter: Reporter,
) -> io::Result<impl Stream<Item = Accepted<Socket>>> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let accepts = stream::unfold((listener, permits), async |(listener, permits)| {
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        let accepted = listener.accept().await;
        let accepted = accepted.map(|(socket, peer)| (socket, peer, permit));
        Some((accepted, (listener, permits)))
    });
    let accepted = accepts.filter_map(move |accepted| {
        let reporter = reporter.clone();
        async move {
            match accepted {
                Ok(accepted) => Some(accepted),
                Err(error) => {
                    pause(&error, &reporter).await;
                    None
                }
            }
        }
    });
    let arrivals = accepted.enumerate();
    Ok(arrivals.map(|(number, (socket, peer, permit))| Accepted {
        socket: Socket::new(socket),
        arrival: Box::new(Arrival {
            number: number as u64,
            peer: Some(peer),
            _permit: Some(permit),
        }),
    }))
}

/// Pauses, so that the loop is not busy, unless the error concerns only the connection that would have been accepted.
async fn pause(error: &io::Error, reporter: &Reporter) {
    if !costs_one_connection(error) {
        let failed = Kind::AcceptFailed(error.to_string());
        // A panic of the observer must not end the stream.
        let _ = panics::contain(|| reporter.report(Scene::default(), failed));
        sleep(ACCEPT_RETRY).await;
    }
}

/// A client's socket.
pub(crate) type Dialled = Yielding<Socket>;

/// A server's socket between two runtimes.
pub(crate) type Released = std::net::TcpStream;

/// A socket that tries the kernel where tokio, which makes no system call before an announcement, would wait for one.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    room: Room,
    /// Whether the next read tries the kernel although tokio has announced no bytes.
    reads_unannounced: bool,
    /// [`AT_ONCE`] or [`WITH_FIN`].
    flags: i32,
}

/// How bytes are sent: without a signal if the peer is gone (`MSG_NOSIGNAL`).
const AT_ONCE: i32 = if cfg!(target_os = "linux") { 0x4000 } else { 0 };
/// The same, but the last segment waits for FIN (`MSG_MORE`): one segment less for the kernels at both ends (MEASURING).
const WITH_FIN: i32 = if cfg!(target_os = "linux") { 0xc000 } else { 0 };

/// What is known of the room for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// The socket is new: it has room, and tokio has not heard of it.
    New,
    /// tokio has announced it.
    Announced,
    /// A write has found none, and tokio has not announced any since.
    Awaited,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            room: Room::New,
            reads_unannounced: false,
            flags: AT_ONCE,
        }
    }

    /// Its local and peer address, for events.
    pub(crate) fn ends(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.stream.local_addr().ok(), self.stream.peer_addr().ok())
    }

    #[inline(never)] // Measured: it slows connections that stay open.
    fn poll_read_unannounced(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reads_unannounced = false;
        let read = (&*SockRef::from(&self.stream)).read(buffer.initialize_unfilled());
        ready_or_would_block(read).map_ok(|bytes| buffer.advance(bytes))
    }

    /// Writes if tokio has announced room.
    #[inline]
    fn try_write(&self, send: impl Fn(&SockRef<'_>) -> io::Result<usize>) -> io::Result<usize> {
        let send = || send(&SockRef::from(&self.stream));
        self.stream.try_io(Interest::WRITABLE, send)
    }

    /// Writes where tokio has announced no room, or waits until it does. Linux announces room only when a third of the send
    /// buffer is free, but a peer that takes a few bytes now and then is alive (S18). So a call while this waits tries to
    /// write before that.
    #[inline(never)] // As above.
    fn poll_write_unannounced(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        send: impl Fn(&SockRef<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let waited = self.room == Room::Awaited;
        if self.room == Room::New {
            let sent = ready_or_would_block(send(&SockRef::from(&self.stream)));
            if sent.is_ready() {
                return sent;
            }
        }
        let announced = Pin::new(&mut self.stream).poll_write(cx, first);
        self.room = match announced {
            Poll::Ready(_) => Room::Announced,
            Poll::Pending => Room::Awaited,
        };
        if announced.is_ready() || !waited {
            return announced;
        }
        ready_or_would_block(send(&SockRef::from(&self.stream)))
    }
}

/// Pending if the kernel would block.
fn ready_or_would_block(result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl ByteStream for Socket {
    fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    fn reads_at_once(&mut self) {
        self.reads_unannounced = true;
    }

    fn sends_with_fin(&mut self) {
        self.flags = WITH_FIN;
    }

    fn reset_on_close(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for Socket {
    /// A read that does not fill the buffer has emptied the socket. tokio knows that, so the next read waits without a
    /// system call.
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending if self.reads_unannounced => self.poll_read_unannounced(buffer),
            announced => announced,
        }
    }
}

impl AsyncWrite for Socket {
    /// Writes first and prepares to wait only if there is no room, which is rare. Every call that waits, from the second
    /// on, has tried the kernel.
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let flags = self.flags;
        let send = |socket: &SockRef<'_>| socket.send_with_flags(bytes, flags);
        match self.try_write(send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poll_write_unannounced(cx, bytes, send)
            }
            written => {
                self.room = Room::Announced;
                Poll::Ready(written)
            }
        }
    }

    /// The same for several places.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = self.flags;
        let send = |socket: &SockRef<'_>| socket.send_vectored_with_flags(slices, flags);
        match self.try_write(send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let first = slices.first().map_or(&[][..], |first| first);
                self.poll_write_unannounced(cx, first, send)
            }
            written => {
                self.room = Room::Announced;
                Poll::Ready(written)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Releases the socket from this runtime.
pub(crate) fn release(socket: Socket) -> io::Result<Released> {
    socket.stream.into_std()
}

/// Takes over a socket that another runtime has released.
pub(crate) fn take_over(socket: Released) -> io::Result<Socket> {
    TcpStream::from_std(socket).map(Socket::new)
}

/// A client's socket before it is connected.
pub(crate) type Unconnected = socket2::Socket;

/// Opens a socket that can connect to `address`.
pub(crate) fn open(address: SocketAddr) -> io::Result<Unconnected> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

// ANCHOR: dial_socket
pub(crate) async fn dial(
    socket: Unconnected,
    address: SocketAddr,
    connect_timeout: Duration,
) -> Result<Socket, FetchFailure> {
    let stream = match socket.connect(&address.into()) {
        Err(error) if !goes_on(&error) => return Err(FetchFailure::connection_failed(&error)),
        _ => TcpStream::from_std(socket.into()),
    };
    let stream = stream.map_err(|error| FetchFailure::connection_failed(&error))?;
    let answered = timeout(connect_timeout, stream.writable()).await;
    established(&stream, answered.is_ok())?;
    let socket = Socket::new(stream);
    if connected_to_itself(&socket.stream, address) {
        // Reset, because TIME_WAIT would keep a server from this port for a minute.
        socket.reset_on_close();
        return Err(FetchFailure::self_connected());
    }
    Ok(socket)
}
// ANCHOR_END: dial_socket

/// Whether a connect that does not block goes on: EINPROGRESS, or WouldBlock where that is the error.
fn goes_on(error: &io::Error) -> bool {
    const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS)
}

/// Whether `socket` is connected. After the connect timeout the socket itself is asked: when this thread was busy, it may
/// have been answered in time although tokio has not heard of that.
fn established(socket: &TcpStream, answered: bool) -> Result<(), FetchFailure> {
    match socket.take_error() {
        Ok(Some(error)) if is_reset_after_fin(&error) => Ok(()),
        Ok(Some(error)) | Err(error) => Err(FetchFailure::connection_failed(&error)),
        Ok(None) if answered || socket.peer_addr().is_ok() => Ok(()),
        Ok(None) => Err(FetchFailure::connect_timed_out()),
    }
}

/// Whether the kernel picked the dialled port as the source. Looks up the peer only if the ports are equal.
fn connected_to_itself(socket: &TcpStream, dialled: SocketAddr) -> bool {
    let local = socket.local_addr().ok();
    local.is_some_and(|local| local.port() == dialled.port()) && local == socket.peer_addr().ok()
}

#[cfg(test)]
mod tests;
