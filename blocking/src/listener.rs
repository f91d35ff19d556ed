//! A bound listener, on which any number of threads may wait, and which wakes them all when it closes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};

use socket2::SockRef;

use crate::net::{self, Socket};

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes over a bound listener.
    ///
    /// # Errors
    /// Fails if the system does not make the listener block, or does not return its address.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(false)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
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
        let (stream, peer) = self.listener.accept()?;
        Ok((Socket::accepted(stream), peer))
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

    /// Stops listening, and wakes the `waiting` threads: Linux does both when a listener is shut down. On systems that
    /// refuse this, we wake each thread with a connection of our own.
    pub(crate) fn close(&self, waiting: usize) {
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
