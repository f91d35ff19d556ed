//! Peers that reset the connection: RST.

use crate::connection::Connection;
use crate::failure::Check;
use crate::running::RunningServer;

/// Connects and resets, often before the server has read from the connection.
#[derive(Debug, Clone, Copy)]
pub struct ResetsAtOnce;

impl ResetsAtOnce {
    /// Connects to `server` and resets.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn run(self, server: &RunningServer) -> Check {
        server.connect()?.reset()
    }
}

/// Sends part of a request, and resets once the server has read it.
#[derive(Debug, Clone, Copy)]
pub struct ResetsMidRequest;

impl ResetsMidRequest {
    /// Sends `part` to `server` and resets.
    ///
    /// # Errors
    /// The server does not read it.
    pub fn run(self, server: &RunningServer, part: &[u8]) -> Check {
        let read = server.counts()?.bytes_in + part.len() as u64;
        let mut connection = server.connect()?;
        connection.send(part)?;
        server.wait_until("the part of the request to be read", |counts| {
            counts.bytes_in >= read
        })?;
        connection.reset()
    }
}

/// Receives the beginning of a poem, and resets.
#[derive(Debug, Clone, Copy)]
pub struct ResetsMidPoem;

impl ResetsMidPoem {
    /// Receives `bytes` bytes from `server` and resets.
    ///
    /// # Errors
    /// The server does not send them.
    pub fn run(self, server: &RunningServer, bytes: usize) -> Check {
        let mut connection = Connection::open_narrow(server.address(), 4_096)?;
        connection.receive(bytes)?;
        connection.reset()
    }
}
