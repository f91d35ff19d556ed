//! Peers that make a server wait: silent, stalled within a request, sending single bytes slowly, or never reading.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::failure::Check;

/// Connects and sends nothing.
#[derive(Debug, Clone, Copy)]
pub struct SendsNothing;

impl SendsNothing {
    /// Connects to `server`.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn run(self, server: SocketAddr) -> Check<Connection> {
        Connection::open(server)
    }
}

/// Sends part of a request, then nothing.
#[derive(Debug, Clone, Copy)]
pub struct StallsMidRequest;

impl StallsMidRequest {
    /// Sends `part` to `server`.
    ///
    /// # Errors
    /// The server does not read it.
    pub fn run(self, server: SocketAddr, part: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(part)?;
        Ok(connection)
    }
}

/// Sends a long request one byte at a time: too slowly to complete it, but never silent for long.
#[derive(Debug, Clone, Copy)]
pub struct Trickles {
    /// The interval between two bytes.
    pub every: Duration,
}

impl Trickles {
    /// The number of bytes at most: they last longer than any deadline under test.
    const BYTES: usize = 600;

    /// Sends to `server` until it closes; returns the number of bytes sent.
    ///
    /// # Errors
    /// The server does not accept, or reads all bytes without closing.
    pub fn run(self, server: SocketAddr) -> Check<usize> {
        let mut connection = Connection::open(server)?;
        let request = crate::wire::request("shout", &crate::wire::text(Self::BYTES));
        for (sent, byte) in request[..Self::BYTES].chunks(1).enumerate() {
            if connection.try_send(byte).is_err() || connection.is_readable().unwrap_or(true) {
                return Ok(sent);
            }
            // This sleep is the behaviour under test; it awaits no event.
            thread::sleep(self.every);
        }
        Err(crate::Failure::broken(
            "expected the server to close, but it read every byte",
        ))
    }
}

/// Connects to a server whose bytes exceed the kernel's buffers, and reads none of them.
#[derive(Debug, Clone, Copy)]
pub struct NeverReads;

impl NeverReads {
    /// The approximate size of its receive buffer.
    const BUFFER_BYTES: usize = 4_096;
    /// More bytes than a kernel buffers for one connection.
    pub const BYTES: usize = 12 << 20;

    /// Connects to `server`.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn run(self, server: SocketAddr) -> Check<Connection> {
        Connection::open_narrow(server, Self::BUFFER_BYTES)
    }
}
