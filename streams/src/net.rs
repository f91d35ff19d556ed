//! The real network: the only file that names a socket. What stands above takes any byte stream, and tokio's time,
//! which tests can stop and turn.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use poetry::error::costs_one_connection;
use poetry::event::Scene;
use poetry::limits::ACCEPT_RETRY;
use poetry::{FetchFailure, Kind, Reporter, panics};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::turns::TakesTurns;

/// A connection that was accepted, and the permit it was accepted with.
#[derive(Debug)]
pub(crate) struct Accepted<S> {
    pub(crate) socket: S,
    pub(crate) number: u64,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl<S> Accepted<S> {
    /// The same, with another form of its socket.
    pub(crate) fn try_map<T>(
        self,
        form: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Accepted<T>> {
        Ok(Accepted {
            socket: form(self.socket)?,
            number: self.number,
            permit: self.permit,
        })
    }
}

/// The connections that `listener` accepts, each with a permit: when none is left, nobody accepts, and those who
/// come wait in the kernel's backlog (S16). When the system cannot accept, it is asked again a little later (S17).
///
/// # Errors
/// The listener cannot be watched. Must be called in a tokio runtime.
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
        let accepted = accepted.map(|(socket, _)| (socket, permit));
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
    Ok(
        (accepted.enumerate()).map(|(number, (socket, permit))| Accepted {
            socket: Socket::new(socket),
            number: number as u64,
            permit,
        }),
    )
}

/// A peer that left before it was accepted is no reason to wait; anything else is, lest the loop be busy.
async fn pause(error: &io::Error, reporter: &Reporter) {
    if !costs_one_connection(error) {
        let failed = Kind::AcceptFailed(error.to_string());
        // An observer that panics does not end the accepting.
        let _ = panics::contain(|| reporter.report(Scene::default(), failed));
        sleep(ACCEPT_RETRY).await;
    }
}

/// A client's socket.
pub(crate) type Dialled = TakesTurns<TcpStream>;

/// A server's socket on its way from one runtime to another.
pub(crate) type Released = std::net::TcpStream;

/// A server's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// A write has found no room, and none has been announced since.
    waits: bool,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            waits: false,
        }
    }

    /// Who is at its two ends, for events.
    pub(crate) fn ends(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        ends(&self.stream)
    }

    /// Waits until room is announced. Linux does so only when a third of its buffer is free, but a peer that takes a few
    /// bytes now and then is alive (S18): so who calls again before that has the kernel itself asked.
    #[cold]
    fn poll_write_waiting(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let announced = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let waited = mem::replace(&mut self.waits, announced.is_pending());
        if announced.is_ready() || !waited {
            return announced;
        }
        // Past tokio, which asks only when it has heard that there is room.
        match SockRef::from(&self.stream).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }
}

impl AsyncRead for Socket {
    /// A read that does not fill the buffer has emptied the socket, and tokio knows: the next one waits without
    /// asking the system.
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    /// There is nearly always room: so write first, and prepare to wait only when there is none. Every call from the
    /// second that waits has reached the kernel.
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poll_write_waiting(cx, bytes)
            }
            written => {
                self.waits = false;
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

/// Who is at the two ends of a client's `socket`, for events.
pub(crate) fn ends_of(socket: &Dialled) -> (Option<SocketAddr>, Option<SocketAddr>) {
    ends(socket.get_ref())
}

fn ends(socket: &TcpStream) -> (Option<SocketAddr>, Option<SocketAddr>) {
    (socket.local_addr().ok(), socket.peer_addr().ok())
}

/// The socket as another runtime can take it over.
pub(crate) fn release(socket: Socket) -> io::Result<Released> {
    socket.stream.into_std()
}

/// A socket that another runtime has released.
pub(crate) fn take_over(socket: Released) -> io::Result<Socket> {
    TcpStream::from_std(socket).map(Socket::new)
}

/// Connects to the first of `addresses` that accepts, each within `connect_timeout` (S15); `trying` is told of each
/// that is tried, before it is.
///
/// # Errors
/// Connection failed, with the cause of the last.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    connect_timeout: Duration,
    mut trying: impl FnMut(SocketAddr),
) -> Result<Dialled, FetchFailure> {
    let mut failure = FetchFailure::connect_timed_out();
    for &address in addresses {
        trying(address);
        failure = match timeout(connect_timeout, connect_to(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => FetchFailure::connection_failed(&error),
            Err(_) => FetchFailure::connect_timed_out(),
        };
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr) -> io::Result<Dialled> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    socket.connect(address).await.map(TakesTurns::new)
}

#[cfg(test)]
mod tests;
