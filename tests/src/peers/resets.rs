//! Peers that break the connection: RST.

use crate::connection::Connection;
use crate::failure::Check;
use crate::running::RunningServer;

/// Connects and breaks the connection, often before the server has read from it.
#[derive(Debug, Clone, Copy)]
pub struct ResetsAtOnce;

impl ResetsAtOnce {
    /// Visits `server`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn run(self, server: &RunningServer) -> Check {
        server.connect()?.reset()
    }
}

/// Sends a part of a request, and breaks the connection when the server has read it.
#[derive(Debug, Clone, Copy)]
pub struct ResetsMidRequest;

impl ResetsMidRequest {
    /// Sends `part` to `server`.
    ///
    /// # Errors
    /// The server does not read it.
    pub fn run(self, server: &RunningServer, part: &[u8]) -> Check {
        let read = server.counts()?.bytes_in + part.len() as u64;
        let mut connection = server.connect()?;
        connection.send(part)?;
        server.wait_until("the part of a request read", |counts| {
            counts.bytes_in >= read
        })?;
        connection.reset()
    }
}

/// Receives the beginning of a poem, and breaks the connection.
#[derive(Debug, Clone, Copy)]
pub struct ResetsMidPoem;

impl ResetsMidPoem {
    /// Receives `bytes` bytes from `server`.
    ///
    /// # Errors
    /// They do not come.
    pub fn run(self, server: &RunningServer, bytes: usize) -> Check {
        let mut connection = Connection::open_narrow(server.address(), 4_096)?;
        connection.receive(bytes)?;
        connection.reset()
    }
}
