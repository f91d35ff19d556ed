//! The real socket and the real clock: the only file that names them.
//!
//! What stands above takes any [`Wire`], so that it can be tested in memory and on virtual time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
#[cfg(target_os = "linux")]
use socket2::{Domain, Type};

use crate::deadlines::{SHORTEST, Wire};

/// The time by the system's monotonic clock (S22), since this was first asked.
pub fn now() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

/// Waits until somebody unparks this thread; may return early.
pub(crate) fn park(at_most: Duration) {
    thread::park_timeout(at_most);
}

/// A send that does not wait, nor raise a signal. Apple's sockets have been told the latter when they were made.
#[cfg(not(target_vendor = "apple"))]
const AT_ONCE: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const AT_ONCE: libc::c_int = libc::MSG_DONTWAIT;

/// A connected socket.
#[derive(Debug)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// What another thread can end this socket's blocking calls with.
    pub fn hook(&self) -> Hook {
        Hook(Arc::downgrade(&self.0))
    }

    /// This end's address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Socket {
    fn now(&self) -> Duration {
        now()
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(timeout))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&*self.0).send_with_flags(bytes, AT_ONCE)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn pause(&mut self, at_most: Duration) {
        park(at_most);
    }

    fn yield_now(&mut self) {
        thread::yield_now();
    }
}

/// A connection that is begun by one call and waited for by another: many can be begun before a thread is made for each,
/// and the kernel connects them meanwhile. Elsewhere than on Linux it begins when it is waited for.
#[derive(Debug)]
pub struct Connecting {
    #[cfg(not(target_os = "linux"))]
    address: SocketAddr,
    #[cfg(target_os = "linux")]
    since: Duration,
    #[cfg(target_os = "linux")]
    stream: Arc<TcpStream>,
}

#[cfg(target_os = "linux")]
impl Connecting {
    /// Begins to connect to `address`, and does not wait.
    ///
    /// # Errors
    /// Those of the system.
    pub fn begin(address: SocketAddr) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(Domain::for_address(address), kind, None)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Self {
                since: now(),
                stream: Arc::new(socket.into()),
            }),
        }
    }

    /// When it was begun.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// What another thread can end it with.
    pub fn hook(&self) -> Hook {
        Hook(Arc::downgrade(&self.stream))
    }

    /// Waits until the connection is there, or until `deadline`. One that is there already is taken in any case, and so is
    /// one that has ended since: what had come is there to be read.
    ///
    /// # Errors
    /// Those of the system; `TimedOut` when no answer came; `ConnectionReset` when one did, and then a reset.
    pub fn wait(self, deadline: Duration) -> io::Result<Socket> {
        let socket = Socket(self.stream);
        socket.0.set_nonblocking(false)?;
        socket.0.set_nodelay(true)?;
        loop {
            let left = deadline.saturating_sub(now());
            socket.0.set_write_timeout(Some(left.max(SHORTEST)))?;
            match socket.is_made() {
                Ok(true) => return Ok(socket),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) if !left.is_zero() => {}
                Ok(false) | Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// The connection, if it is there by now. Its reads do not wait either.
    pub fn made(self) -> Option<Socket> {
        let socket = Socket(self.stream);
        matches!(socket.is_made(), Ok(true)).then_some(socket)
    }
}

#[cfg(target_os = "linux")]
impl Socket {
    /// To send nothing is to wait for the connection, as long as a write may take. (To connect once more would be, too;
    /// but where somebody has hung up meanwhile, that begins anew, and nobody hangs up on it again.)
    fn is_made(&self) -> io::Result<bool> {
        match (&*self.0).write(&[]) {
            Ok(sent) => Ok(sent == 0),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                // It was made, and has come to its end; or somebody has hung up, and says so.
                io::ErrorKind::BrokenPipe => Ok(true),
                _ => Err(error),
            },
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Connecting {
    /// Keeps `address` until it is waited for.
    ///
    /// # Errors
    /// None.
    pub fn begin(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address })
    }

    /// Now: it begins when it is waited for.
    pub fn since(&self) -> Duration {
        now()
    }

    /// Ends nothing: there is no socket yet.
    pub fn hook(&self) -> Hook {
        Hook(Weak::new())
    }

    /// Connects, and waits until `deadline`.
    ///
    /// # Errors
    /// Those of the system; `TimedOut` when no answer came.
    pub fn wait(self, deadline: Duration) -> io::Result<Socket> {
        let left = deadline.saturating_sub(now()).max(SHORTEST);
        let stream = TcpStream::connect_timeout(&self.address, left)?;
        stream.set_nodelay(true)?;
        Ok(Socket(Arc::new(stream)))
    }

    /// None: it is not even begun.
    pub fn made(self) -> Option<Socket> {
        None
    }
}

/// Ends a socket's blocking calls from another thread. It does not keep the socket open.
#[derive(Debug, Clone)]
pub struct Hook(Weak<TcpStream>);

impl Hook {
    /// Reads return what has come, then 0. What is being written still is.
    pub fn stop_reading(&self) {
        self.shutdown(Shutdown::Read);
    }

    /// Sends FIN; reads return what has come, then 0, and a blocked write fails.
    pub fn hang_up(&self) {
        self.shutdown(Shutdown::Both);
    }

    fn shutdown(&self, how: Shutdown) {
        if let Some(stream) = self.0.upgrade() {
            // It fails only when the connection is gone already, which is what is wanted.
            let _ = stream.shutdown(how);
        }
    }
}

/// A bound listener, on which any number of threads may wait.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes over a bound listener.
    ///
    /// # Errors
    /// Those of the system when asked for the listener's address, or to make it block.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(false)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection: it, and its peer's address.
    ///
    /// # Errors
    /// Those of the system; after [`close`](Self::close), always.
    pub fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (stream, peer) = self.listener.accept()?;
        Ok((Socket(Arc::new(stream)), peer))
    }

    /// The address a connection came to: where we listen, unless that is every address of the machine.
    pub fn local_of(&self, socket: &Socket) -> Option<SocketAddr> {
        if self.address.ip().is_unspecified() {
            socket.local()
        } else {
            Some(self.address)
        }
    }

    /// Stops listening, and ends the wait of all `waiting` threads: Linux does both when a listener is shut down.
    /// Where the system refuses that, a connection of our own wakes each.
    pub fn close(&self, waiting: usize) {
        if SockRef::from(&self.listener)
            .shutdown(Shutdown::Both)
            .is_err()
        {
            self.wake_by_connecting(waiting);
        }
    }

    fn wake_by_connecting(&self, waiting: usize) {
        const WAKE_TIMEOUT: Duration = Duration::from_millis(100);
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        for _ in 0..waiting {
            let _ = TcpStream::connect_timeout(&address, WAKE_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests;
