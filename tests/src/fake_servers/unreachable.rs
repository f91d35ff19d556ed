//! Addresses to which no client can connect.

use std::net::{SocketAddr, TcpStream};

use poetry::limits::LISTEN_BACKLOG;
use socket2::{Domain, Socket, Type};

use super::Listener;
use crate::failure::{Check, During, Failure};

/// An address that refuses connections: its port is bound, but not listening.
#[derive(Debug)]
pub struct Refuses {
    address: SocketAddr,
    socket: Socket,
}

impl Refuses {
    /// Binds a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn new() -> Check<Self> {
        let (socket, address) = bound()?;
        Ok(Self { address, socket })
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to listen at the address.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn listen(self) -> Check<Listener> {
        self.socket.listen(LISTEN_BACKLOG).during("listening")?;
        Listener::from_socket(self.socket).during("listening")
    }
}

/// An address that neither accepts nor refuses connections: its backlog is full.
#[derive(Debug)]
pub struct NeverAccepts {
    address: SocketAddr,
    _listener: Socket,
    _queued: TcpStream,
}

impl NeverAccepts {
    /// Listens on a free port of 127.0.0.1 and fills the backlog.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn new() -> Check<Self> {
        let (listener, address) = bound()?;
        listener.listen(0).during("listening")?;
        let queued = TcpStream::connect(address).during("filling a backlog")?;
        Ok(Self {
            address,
            _listener: listener,
            _queued: queued,
        })
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound() -> Check<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).during("creating a socket")?;
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .during("binding")?;
    let address = socket
        .local_addr()
        .during("reading an address")?
        .as_socket();
    let address = address.ok_or(Failure::Needs("internet addresses".to_owned()))?;
    Ok((socket, address))
}
