//! Servers that do right, plainly or slowly: the good ones beside the bad.

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;

/// Serves these bytes at once, then FIN, and waits for the client to leave.
#[derive(Debug, Clone)]
pub struct Serves(pub Vec<u8>);

impl Behaviour for Serves {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.send(&self.0)?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Serves these bytes one at a time.
#[derive(Debug, Clone)]
pub struct ServesByteByByte(pub Vec<u8>);

impl Behaviour for ServesByteByByte {
    fn serve(&self, mut connection: Connection) -> Check {
        for byte in self.0.chunks(1) {
            connection.send(byte)?;
        }
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Waits for so many bytes of a request, replies with these bytes, then FIN.
#[derive(Debug, Clone)]
pub struct Replies {
    /// The length of the request, in bytes on the wire.
    pub request_bytes: usize,
    /// What is sent for it.
    pub reply: Vec<u8>,
}

impl Behaviour for Replies {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.request_bytes)?;
        connection.send(&self.reply)?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}
