//! Peers that keep a server waiting: silent, half way through a request, a byte now and then, or never reading.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::failure::Check;

/// Connects and says nothing.
#[derive(Debug, Clone, Copy)]
pub struct SendsNothing;

impl SendsNothing {
    /// Visits `server`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn run(self, server: SocketAddr) -> Check<Connection> {
        Connection::open(server)
    }
}

/// Sends a part of a request, and then nothing.
#[derive(Debug, Clone, Copy)]
pub struct StallsMidRequest;

impl StallsMidRequest {
    /// Sends `part` to `server`.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn run(self, server: SocketAddr, part: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(part)?;
        Ok(connection)
    }
}

/// Sends a long request one byte at a time, so slowly that it never ends, and never silent for long.
#[derive(Debug, Clone, Copy)]
pub struct Trickles {
    /// Between two bytes.
    pub every: Duration,
}

impl Trickles {
    /// How much it sends at most, long after any deadline it is tried on.
    const BYTES: usize = 600;

    /// Sends to `server` until it closes; how many bytes it sent.
    ///
    /// # Errors
    /// The server does not accept, or takes all of it without closing.
    pub fn run(self, server: SocketAddr) -> Check<usize> {
        let mut connection = Connection::open(server)?;
        let request = crate::wire::request("shout", &crate::wire::text(Self::BYTES));
        for (sent, byte) in request[..Self::BYTES].chunks(1).enumerate() {
            if connection.try_send(byte).is_err() || connection.is_readable().unwrap_or(true) {
                return Ok(sent);
            }
            // The slowness is the peer's nature: nothing is waited for here.
            thread::sleep(self.every);
        }
        Err(crate::Failure::broken(
            "expected the server to close, and it waited, byte by byte, until the peer had enough",
        ))
    }
}

/// Asks for more than the kernel's buffers hold, and reads nothing of it.
#[derive(Debug, Clone, Copy)]
pub struct NeverReads;

impl NeverReads {
    /// How much the kernel holds for it, about.
    const BUFFER_BYTES: usize = 4_096;
    /// More than the kernels we know put into the buffers of one connection.
    pub const BYTES: usize = 12 << 20;

    /// Connects to `server`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn run(self, server: SocketAddr) -> Check<Connection> {
        Connection::open_narrow(server, Self::BUFFER_BYTES)
    }
}
