//! The real socket and the real clock: the only file that names them.
//!
//! Everything else takes any [`Wire`], so that it is tested in memory and on virtual time.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use socket2::{Domain, SockRef, Type};

use crate::deadlines::{SHORTEST, Wire};

/// Returns the time of the system's monotonic clock (S22), since the first call of this function.
pub(crate) fn now() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

/// Waits until this thread is unparked; may return early.
pub(crate) fn park(at_most: Duration) {
    thread::park_timeout(at_most);
}

/// The flags of a send that neither waits nor raises a signal. (On Apple's systems a socket option prevents the signal.)
#[cfg(not(target_vendor = "apple"))]
const AT_ONCE: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const AT_ONCE: libc::c_int = libc::MSG_DONTWAIT;

/// The same, but the last segment waits for FIN: one segment less for the kernels at both ends (MEASURING).
#[cfg(target_os = "linux")]
const WITH_FIN: libc::c_int = AT_ONCE | libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
const WITH_FIN: libc::c_int = AT_ONCE;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    /// [`AT_ONCE`] or [`WITH_FIN`].
    flags: libc::c_int,
}

impl Socket {
    fn new(stream: Arc<TcpStream>) -> Self {
        let flags = AT_ONCE;
        Self { stream, flags }
    }

    /// Takes over an accepted connection.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        Self::new(Arc::new(stream))
    }

    /// Returns the handle with which another thread ends this socket's blocking calls.
    pub(crate) fn hang_up(&self) -> HangUp {
        HangUp(Arc::downgrade(&self.stream))
    }

    /// Returns the address of this end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Socket {
    type Reader = Self;

    fn now(&self) -> Duration {
        now()
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(timeout))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&*self.stream).send_with_flags(bytes, self.flags)
    }

    fn try_write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(&*self.stream).send_vectored_with_flags(pieces, self.flags)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = rustix::net::recv(&*self.stream, buffer, RecvFlags::DONTWAIT)?;
        Ok(read)
    }

    fn send_with_fin(&mut self) {
        self.flags = WITH_FIN;
    }

    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn reset_when_closed(&mut self) {
        // If it fails, the connection is gone already.
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    fn reader(&mut self) -> io::Result<(Self, HangUp)> {
        self.stream.set_read_timeout(None)?;
        Ok((Self::new(Arc::clone(&self.stream)), self.hang_up()))
    }

    fn pause(&mut self, at_most: Duration) {
        park(at_most);
    }
}

/// A client's socket before it is connected.
pub(crate) type Unconnected = socket2::Socket;

/// Makes a socket that [`Connecting::begin_with`] can connect to `address`.
pub(crate) fn unconnected(address: SocketAddr) -> io::Result<Unconnected> {
    #[cfg(target_os = "linux")]
    let kind = Type::STREAM.nonblocking();
    #[cfg(not(target_os = "linux"))]
    let kind = Type::STREAM;
    socket2::Socket::new(Domain::for_address(address), kind, None)
}

/// A connection that [`begin`](Self::begin) begins and [`wait`](Self::wait) completes: many can be begun before each has a
/// thread, and the kernel connects them meanwhile. On systems other than Linux, `wait` begins it.
#[derive(Debug)]
pub(crate) struct Connecting {
    #[cfg(not(target_os = "linux"))]
    address: SocketAddr,
    #[cfg(not(target_os = "linux"))]
    socket: Unconnected,
    #[cfg(target_os = "linux")]
    since: Duration,
    #[cfg(target_os = "linux")]
    stream: Arc<TcpStream>,
}

#[cfg(target_os = "linux")]
impl Connecting {
    /// Begins to connect to `address` without waiting.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Self> {
        Self::begin_with(unconnected(address)?, address)
    }

    /// As [`begin`](Self::begin), with a socket that was made before.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn begin_with(socket: Unconnected, address: SocketAddr) -> io::Result<Self> {
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Self {
                since: now(),
                stream: Arc::new(socket.into()),
            }),
        }
    }

    /// Returns when it was begun.
    pub(crate) fn since(&self) -> Duration {
        self.since
    }

    /// Returns whether the kernel picked the very port of `address` as the source: then both ends are this socket, although
    /// it may not be established yet.
    pub(crate) fn is_to_itself(&self, address: SocketAddr) -> bool {
        is_same_end(&self.stream, address)
    }

    /// Makes its close a reset, which leaves no TIME_WAIT: the port is free at once.
    pub(crate) fn abort(&self) {
        // If it fails, the port is free a minute later.
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Returns the handle with which another thread ends it.
    pub(crate) fn hang_up(&self) -> HangUp {
        HangUp(Arc::downgrade(&self.stream))
    }

    /// Waits until the connection is established, or until `deadline`. An established one is returned even after the
    /// deadline, and so is one that the peer has closed since: what arrived can still be read.
    ///
    /// # Errors
    /// Returns the system's error; `TimedOut` if no answer came; `ConnectionReset` if the peer answered and then reset.
    pub(crate) fn wait(self, deadline: Duration) -> io::Result<Socket> {
        let socket = Socket::new(self.stream);
        socket.stream.set_nonblocking(false)?;
        socket.stream.set_nodelay(true)?;
        loop {
            let left = deadline.saturating_sub(now());
            socket.stream.set_write_timeout(Some(left.max(SHORTEST)))?;
            match socket.is_established() {
                Ok(true) => return Ok(socket),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) if !left.is_zero() => {}
                Ok(false) | Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Returns the connection if it is established by now. Its reads do not wait either.
    pub(crate) fn established(self) -> Option<Socket> {
        let socket = Socket::new(self.stream);
        matches!(socket.is_established(), Ok(true)).then_some(socket)
    }
}

#[cfg(target_os = "linux")]
impl Socket {
    /// Waits for up to the write timeout, and returns whether the connection is established. It writes no bytes, which
    /// blocks while the kernel connects. (A second `connect` would wait too, but after a hang-up it would connect anew.)
    fn is_established(&self) -> io::Result<bool> {
        match (&*self.stream).write(&[]) {
            Ok(sent) => Ok(sent == 0),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                // It was established and has been closed since, by the peer or by a hang-up that is reported elsewhere.
                io::ErrorKind::BrokenPipe => Ok(true),
                _ => Err(error),
            },
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Connecting {
    /// Makes a socket and keeps `address` for [`wait`](Self::wait).
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Self> {
        Self::begin_with(unconnected(address)?, address)
    }

    /// As [`begin`](Self::begin), with a socket that was made before.
    ///
    /// # Errors
    /// Never fails.
    pub(crate) fn begin_with(socket: Unconnected, address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address, socket })
    }

    /// Returns now, since it begins when it is waited for.
    pub(crate) fn since(&self) -> Duration {
        now()
    }

    /// Returns false: it has no address yet. [`wait`](Self::wait) checks instead.
    pub(crate) fn is_to_itself(&self, _: SocketAddr) -> bool {
        false
    }

    /// Does nothing: there is no connection yet.
    pub(crate) fn abort(&self) {}

    /// Returns a handle that ends nothing: a connect that has begun cannot be interrupted.
    pub(crate) fn hang_up(&self) -> HangUp {
        HangUp(Weak::new())
    }

    /// Connects, and waits until `deadline`.
    ///
    /// # Errors
    /// Returns the system's error; `TimedOut` if no answer came; `ConnectionRefused` if it is connected to itself.
    pub(crate) fn wait(self, deadline: Duration) -> io::Result<Socket> {
        let left = deadline.saturating_sub(now()).max(SHORTEST);
        self.socket.connect_timeout(&self.address.into(), left)?;
        let stream = TcpStream::from(self.socket);
        if is_same_end(&stream, self.address) {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        Ok(Socket::new(Arc::new(stream)))
    }

    /// Returns none: it is not begun.
    pub(crate) fn established(self) -> Option<Socket> {
        None
    }
}

/// Returns whether the local end of `stream` is the `address` it connects to. An unspecified address means this machine.
fn is_same_end(stream: &TcpStream, address: SocketAddr) -> bool {
    let to_this_machine = address.ip().is_unspecified();
    stream.local_addr().is_ok_and(|local| {
        local.port() == address.port()
            && (local.ip() == address.ip() || to_this_machine && local.ip().is_loopback())
    })
}

/// Ends a socket's blocking calls from another thread. It does not keep the socket open.
#[derive(Debug, Clone)]
pub(crate) struct HangUp(Weak<TcpStream>);

impl HangUp {
    /// Reads return what has arrived, then 0. Writes go on.
    pub(crate) fn reading(&self) {
        self.shutdown(Shutdown::Read);
    }

    /// Sends FIN. Reads return what has arrived, then 0, and a blocked write fails.
    pub(crate) fn both_ways(&self) {
        self.shutdown(Shutdown::Both);
    }

    fn shutdown(&self, how: Shutdown) {
        if let Some(stream) = self.0.upgrade() {
            // It fails only if the connection is gone already.
            let _ = stream.shutdown(how);
        }
    }
}

/// Connects to `address` and closes the connection again, to wake a thread that waits to accept.
pub(crate) fn knock(address: SocketAddr) {
    const WAKE_TIMEOUT: Duration = Duration::from_millis(100);
    let _ = TcpStream::connect_timeout(&address, WAKE_TIMEOUT);
}

#[cfg(test)]
mod tests;
