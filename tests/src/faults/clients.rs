//! Clients of a running server: raw connections, and what they ask and are answered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::launch::NAME;
use super::{Daemon, FaultRole, guest::Guest};
use crate::connection::{Connection, End};
use crate::failure::{Check, During, Failure, os_result, shown};
use crate::wire::{netstring, request};

impl Daemon {
    /// Connects to it.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect(&self) -> Check<Connection> {
        let connection = Connection::open(self.address())?;
        self.patient(connection)
    }

    /// Connects with a receive buffer of about `bytes`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect_narrow(&self, bytes: usize) -> Check<Connection> {
        let connection = Connection::open_narrow(self.address(), bytes)?;
        self.patient(connection)
    }

    /// Connects from an address of this machine, with a receive buffer of about `bytes`, or one of the usual size.
    ///
    /// With a small buffer, segments are as small as on an Ethernet: for the large ones of a loopback interface, the kernel buffers
    /// megabytes for a peer that does not read.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect_from(&self, source: Ipv4Addr, bytes: Option<usize>) -> Check<Connection> {
        const SEGMENT_BYTES: u32 = 1_448;
        let connect = || -> io::Result<Connection> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            if let Some(bytes) = bytes {
                socket.set_recv_buffer_size(bytes)?;
                socket.set_tcp_mss(SEGMENT_BYTES)?;
            }
            socket.bind(&SocketAddr::from((source, 0)).into())?;
            socket.connect_timeout(&self.address().into(), self.patience())?;
            Connection::new(socket.into())
        };
        self.patient(os_result(connect(), "connecting")?)
    }

    /// Connects as a client whose connection lasts.
    ///
    /// # Errors
    /// It does not accept.
    pub fn guest(&self) -> Check<Guest> {
        Guest::connect(self, self.role)
    }

    /// Returns what a client sends for one reply; nothing for servers that are not asked.
    pub fn question(&self) -> Vec<u8> {
        match self.role {
            FaultRole::TransformServer => request("shout", "ahoy"),
            FaultRole::LibraryServer => netstring(NAME),
            _ => Vec::new(),
        }
    }

    /// Returns what the server sends for one [`question`](Self::question).
    pub fn answer(&self) -> Vec<u8> {
        match self.role {
            FaultRole::TransformServer => netstring("AHOY"),
            FaultRole::LibraryServer => netstring(self.poem()),
            _ => self.poem().as_bytes().to_vec(),
        }
    }

    /// Expects that a new client is served, to its end.
    ///
    /// # Errors
    /// It is not.
    pub fn serves(&self) -> Check {
        self.serves_one_of(&[self.answer()]).map(drop)
    }

    /// Expects that a new client is served one of `answers`, to its end; returns the index of the answer.
    ///
    /// # Errors
    /// It is not.
    pub fn serves_one_of(&self, answers: &[Vec<u8>]) -> Check<usize> {
        let mut client = self.connect()?;
        if !self.question().is_empty() {
            client.send(&self.question())?;
            client.half_close()?;
        }
        let received = client.receive_to_fin();
        let received = received
            .map_err(|failure| Failure::Broken(format!("a new client is not served: {failure}")))?;
        let which = answers.iter().position(|answer| *answer == received);
        which.ok_or_else(|| {
            let (count, received) = (received.len(), shown(&received));
            Failure::Broken(format!("a new client got {count} bytes: '{received}'"))
        })
    }

    fn patient(&self, connection: Connection) -> Check<Connection> {
        let patience: Duration = self.patience();
        let reads = connection.stream.set_read_timeout(Some(patience));
        let set = reads.and_then(|()| connection.stream.set_write_timeout(Some(patience)));
        set.during("setting a timeout")?;
        Ok(connection)
    }
}

/// Receives every connection to its end; returns the ends.
///
/// # Errors
/// One does not end.
pub fn ends(connections: &mut [Connection]) -> Check<Vec<End>> {
    let end = |connection: &mut Connection| Ok(connection.receive_to_end()?.1);
    connections.iter_mut().map(end).collect()
}
