//! Peers that finish sending early, or close at once.

use std::net::SocketAddr;

use crate::connection::Connection;
use crate::failure::Check;

/// Sends bytes and then FIN, and still receives (S6).
#[derive(Debug, Clone, Copy)]
pub struct HalfCloses;

impl HalfCloses {
    /// Sends `bytes` and FIN to `server`.
    ///
    /// # Errors
    /// The server does not read them.
    pub fn send(self, server: SocketAddr, bytes: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(bytes)?;
        connection.half_close()?;
        Ok(connection)
    }
}

/// Sends complete requests, then part of another, then FIN.
#[derive(Debug, Clone, Copy)]
pub struct ClosesMidFrame;

impl ClosesMidFrame {
    /// Sends `whole`, then `last` without its last byte, then FIN to `server`.
    ///
    /// # Errors
    /// The server does not read them.
    pub fn send(self, server: SocketAddr, whole: &[u8], last: &[u8]) -> Check<Connection> {
        let part = &last[..last.len() - 1];
        HalfCloses.send(server, &[whole, part].concat())
    }
}

/// Connects and closes without sending a byte.
#[derive(Debug, Clone, Copy)]
pub struct ClosesAtOnce;

impl ClosesAtOnce {
    /// Connects to `server` and closes.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn run(self, server: SocketAddr) -> Check {
        Connection::open(server).map(drop)
    }
}
