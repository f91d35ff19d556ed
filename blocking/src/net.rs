//! The real socket and the real clock: the only file that names them.
//!
//! What stands above takes any [`Wire`], so that it can be tested in memory and on virtual time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::deadlines::Wire;

mod connecting;

pub use connecting::Connecting;

/// The time by the system's monotonic clock (S22), since this was first asked.
pub fn now() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
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
        thread::park_timeout(at_most);
    }

    fn yield_now(&mut self) {
        thread::yield_now();
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
