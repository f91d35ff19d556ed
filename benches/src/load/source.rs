//! Sockets for the generator. On Linux all of 127.0.0.0/8 is this machine, so connections to a loopback server rotate their
//! source address before its ports run out, or with each connection (MEASURING 8).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Plan, Sources};

/// Connections made from one source address before the next is used: the kernel has about 28,000 ephemeral ports for
/// each.
const CONNECTIONS_PER_ADDRESS: u64 = 28_000;
/// Source addresses: 127.0.0.1 to 127.0.0.254.
const ADDRESSES: u64 = 254;
const BEFORE_PORTS_RUN_OUT: Rotation = Rotation {
    each: CONNECTIONS_PER_ADDRESS,
    addresses: ADDRESSES,
};

/// Opens connections to one server.
pub(super) struct Source {
    peer: SocketAddr,
    rotation: Option<Rotation>,
    made: u64,
}

/// How source addresses take turns.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    /// Connections from one address before the next is used.
    each: u64,
    /// Addresses.
    addresses: u64,
}

impl Source {
    /// Creates a source of connections for `plan`. Where addresses rotate only before their ports run out, the first is random,
    /// so that successive runs do not collide with each other's TIME_WAIT.
    pub(super) fn new(plan: &Plan) -> Self {
        let many = !plan.keep_alive || plan.connections as u64 > CONNECTIONS_PER_ADDRESS;
        let (rotation, made) = match plan.sources {
            Sources::Auto => (
                (many && plan.can_choose_sources()).then_some(BEFORE_PORTS_RUN_OUT),
                fastrand::u64(..ADDRESSES) * CONNECTIONS_PER_ADDRESS,
            ),
            Sources::Each(addresses) => {
                let addresses = u64::from(addresses.get()).min(ADDRESSES);
                (Some(Rotation { each: 1, addresses }), 0)
            }
        };
        Self {
            peer: plan.address,
            rotation,
            made,
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
        if let Some(rotation) = self.rotation {
            socket.bind(&SocketAddr::new(rotation.address(self.made), 0).into())?;
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

impl Rotation {
    fn address(self, made: u64) -> IpAddr {
        let turn = made / self.each % self.addresses;
        Ipv4Addr::new(127, 0, 0, 1 + turn as u8).into()
    }
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
        let address = |made| BEFORE_PORTS_RUN_OUT.address(made);
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

    #[test]
    fn a_number_of_sources_is_used_in_turn() {
        let rotation = Rotation {
            each: 1,
            addresses: 3,
        };
        let last = |made| match rotation.address(made) {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        };
        assert_eq!([0, 1, 2, 3].map(last), [1, 2, 3, 1]);
    }
}
