//! Well-behaved servers, fast or slow.

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;

/// Sends these bytes at once, then FIN, and waits until the client closes.
#[derive(Debug, Clone)]
pub struct Serves(pub Vec<u8>);

impl Behaviour for Serves {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.send(&self.0)?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Sends these bytes one at a time, then FIN.
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

/// Reads a request, sends a reply, then FIN.
#[derive(Debug, Clone)]
pub struct Replies {
    /// The length of the request, in bytes on the wire.
    pub request_bytes: usize,
    /// The bytes of the reply.
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

/// Reads a request, sends a reply, and resets the connection.
#[derive(Debug, Clone)]
pub struct RepliesThenResets {
    /// The length of the request, in bytes on the wire; 0 for a poem server.
    pub request_bytes: usize,
    /// The bytes of the reply.
    pub reply: Vec<u8>,
    /// Whether FIN comes before the reset, so that the reply is complete.
    pub with_fin: bool,
}

impl Behaviour for RepliesThenResets {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.request_bytes)?;
        connection.send(&self.reply)?;
        match self.with_fin {
            true => connection.finish_and_reset(),
            false => connection.reset(),
        }
    }
}
