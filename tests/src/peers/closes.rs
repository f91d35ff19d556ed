//! Peers that finish sending, or leave, when it is least expected.

use std::net::SocketAddr;

use crate::connection::Connection;
use crate::failure::Check;

/// Sends what it has, then FIN, and waits for what it is owed (S6).
#[derive(Debug, Clone, Copy)]
pub struct HalfCloses;

impl HalfCloses {
    /// Sends `bytes` and FIN to `server`.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn send(self, server: SocketAddr, bytes: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(bytes)?;
        connection.half_close()?;
        Ok(connection)
    }
}

/// Sends whole requests, then a part of one more, then FIN.
#[derive(Debug, Clone, Copy)]
pub struct ClosesMidFrame;

impl ClosesMidFrame {
    /// Sends `whole`, then all of `last` but its last byte, and FIN to `server`.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn send(self, server: SocketAddr, whole: &[u8], last: &[u8]) -> Check<Connection> {
        let part = &last[..last.len() - 1];
        HalfCloses.send(server, &[whole, part].concat())
    }
}

/// Connects and closes, without a byte.
#[derive(Debug, Clone, Copy)]
pub struct ClosesAtOnce;

impl ClosesAtOnce {
    /// Visits `server`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn run(self, server: SocketAddr) -> Check {
        Connection::open(server).map(drop)
    }
}
