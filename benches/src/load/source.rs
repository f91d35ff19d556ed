//! Sockets for the generator. On Linux all of 127.0.0.0/8 is this machine, so one-shot connections to a loopback
//! server rotate their source address before its ports run out (MEASURING 8).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections made from one source address before the next is used: the kernel has about 28,000 ephemeral ports for
/// each.
const CONNECTIONS_PER_ADDRESS: u64 = 28_000;
/// Source addresses: 127.0.0.1 to 127.0.0.254.
const ADDRESSES: u64 = 254;

/// Opens connections to one server.
pub(super) struct Source {
    peer: SocketAddr,
    rotates: bool,
    made: u64,
}

impl Source {
    /// Creates a source of connections to `peer`, with rotating source addresses if `rotate` and if this machine has
    /// them. The first address is random, so that successive runs do not collide with each other's TIME_WAIT.
    pub(super) fn new(peer: SocketAddr, rotate: bool) -> Self {
        let loopback = matches!(peer.ip(), IpAddr::V4(ip) if ip.is_loopback());
        Self {
            peer,
            rotates: rotate && loopback && cfg!(target_os = "linux"),
            made: fastrand::u64(..ADDRESSES) * CONNECTIONS_PER_ADDRESS,
        }
    }

    /// Opens a socket that is connecting or connected.
    pub(super) fn connect(&mut self) -> io::Result<TcpStream> {
        let socket = Socket::new(
            Domain::for_address(self.peer),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if self.rotates {
            socket.bind(&SocketAddr::new(address(self.made), 0).into())?;
        }
        self.made += 1;
        match socket.connect(&self.peer.into()) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}

fn address(made: u64) -> IpAddr {
    let turn = made / CONNECTIONS_PER_ADDRESS % ADDRESSES;
    Ipv4Addr::new(127, 0, 0, 1 + turn as u8).into()
}

fn in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32)
        || error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_rotate_before_their_ports_run_out() {
        assert_eq!(address(0), Ipv4Addr::new(127, 0, 0, 1));
        assert_eq!(address(CONNECTIONS_PER_ADDRESS - 1), address(0));
        assert_eq!(
            address(CONNECTIONS_PER_ADDRESS),
            Ipv4Addr::new(127, 0, 0, 2)
        );
        assert_eq!(
            address(CONNECTIONS_PER_ADDRESS * (ADDRESSES - 1)),
            Ipv4Addr::new(127, 0, 0, 254)
        );
        assert_eq!(address(CONNECTIONS_PER_ADDRESS * ADDRESSES), address(0));
    }
}
