//! A bound listener, on which any number of threads may wait, and which wakes them all when it closes. One that does not block
//! is used by others too, and only closed for the threads of this server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;

use crate::door::Door;
use crate::net::{self, Socket};

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    /// Where threads wait if others use the listener too.
    door: Option<Door>,
    closed: AtomicBool,
}

impl Listener {
    /// Takes over a bound listener.
    ///
    /// # Errors
    /// Fails if the system does not return its address, or has no descriptors to watch it with.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        // Otherwise threads wait in `accept`, which is one system call for a connection.
        let shared = rustix::fs::fcntl_getfl(&listener)?.contains(rustix::fs::OFlags::NONBLOCK);
        let door = shared.then(|| Door::of(&listener)).transpose()?;
        Ok(Self {
            listener,
            address,
            door,
            closed: AtomicBool::new(false),
        })
    }

    /// Returns the address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection, and returns it with its peer's address.
    ///
    /// # Errors
    /// Returns the system's error; always one after [`close`](Self::close).
    pub(crate) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        loop {
            match (self.listener.accept(), &self.door) {
                // A connection of our own that has woken this thread, or one that a shut down listener would reset.
                (Ok(_), None) if self.closed.load(Ordering::Acquire) => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                (Ok((stream, peer)), door) => {
                    // Linux alone gives an accepted socket no flags of its listener.
                    if door.is_some() && cfg!(not(target_os = "linux")) {
                        stream.set_nonblocking(false)?;
                    }
                    return Ok((Socket::accepted(stream), peer));
                }
                (Err(error), Some(door)) if error.kind() == io::ErrorKind::WouldBlock => {
                    door.wait()?;
                    if self.closed.load(Ordering::Acquire) {
                        return Err(error);
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Returns the address that a connection came to. This is a system call only if the listener listens on all addresses
    /// of the machine.
    pub(crate) fn local_of(&self, socket: &Socket) -> Option<SocketAddr> {
        if self.address.ip().is_unspecified() {
            socket.local()
        } else {
            Some(self.address)
        }
    }

    /// Stops listening, if no others use the listener, and wakes the `waiting` threads: Linux does both when a listener is shut down. On systems that
    /// refuse this, we wake each thread with a connection of our own.
    pub(crate) fn close(&self, waiting: usize) {
        self.closed.store(true, Ordering::Release);
        if let Some(door) = &self.door {
            return door.close();
        }
        if SockRef::from(&self.listener)
            .shutdown(Shutdown::Both)
            .is_err()
        {
            self.wake_by_connecting(waiting);
        }
    }

    fn wake_by_connecting(&self, waiting: usize) {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        (0..waiting).for_each(|_| net::knock(address));
    }
}

#[cfg(test)]
mod tests;
