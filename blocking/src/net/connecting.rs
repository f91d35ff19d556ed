//! A connection that is begun by one call and waited for by another, so that many can be begun before a thread is made
//! for each: the kernel connects them meanwhile.

use std::io;
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::sync::Arc;
#[cfg(not(target_os = "linux"))]
use std::sync::Weak;
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::{Domain, SockRef, Type};

use super::{Hook, Socket, now};
use crate::deadlines::SHORTEST;

/// A connection that is being made. Elsewhere than on Linux it begins when it is waited for.
#[derive(Debug)]
pub struct Connecting {
    address: SocketAddr,
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
                address,
                stream: Arc::new(socket.into()),
            }),
        }
    }

    /// What another thread can end it with.
    pub fn hook(&self) -> Hook {
        Hook(Arc::downgrade(&self.stream))
    }

    /// Waits until the connection is there, or until `deadline`. One that is there already is taken in any case.
    ///
    /// # Errors
    /// Those of the system; `TimedOut` when no answer came.
    pub fn wait(self, deadline: Duration) -> io::Result<Socket> {
        let Self { address, stream } = self;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        loop {
            // To connect once more is to wait; what bounds a write bounds that too.
            let left = deadline.saturating_sub(now());
            stream.set_write_timeout(Some(left.max(SHORTEST)))?;
            let Err(error) = SockRef::from(&*stream).connect(&address.into()) else {
                return Ok(Socket(stream));
            };
            match error.raw_os_error() {
                Some(libc::EISCONN) => return Ok(Socket(stream)),
                Some(libc::EINTR) if !left.is_zero() => {}
                Some(libc::EINTR | libc::EALREADY | libc::EINPROGRESS) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                _ => return Err(error),
            }
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
        let stream = std::net::TcpStream::connect_timeout(&self.address, left)?;
        stream.set_nodelay(true)?;
        Ok(Socket(Arc::new(stream)))
    }
}
