//! Servers that end the connection early or send an invalid reply. They read the request first: unread input would make the
//! kernel reset the connection.

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;
use crate::wire;

/// Reads this many bytes of a request, and resets the connection.
#[derive(Debug, Clone, Copy)]
pub struct ResetsOnRequest(pub usize);

impl Behaviour for ResetsOnRequest {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.reset()
    }
}

/// Reads this many bytes of a request, and closes without a reply.
#[derive(Debug, Clone, Copy)]
pub struct ClosesWithoutReply(pub usize);

impl Behaviour for ClosesWithoutReply {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Reads this many bytes of a request, and replies with bytes that are not a netstring.
#[derive(Debug, Clone, Copy)]
pub struct RepliesGarbage(pub usize);

impl Behaviour for RepliesGarbage {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Reads this many bytes of a request, and closes in the middle of its reply.
#[derive(Debug, Clone, Copy)]
pub struct CutsReply(pub usize);

impl Behaviour for CutsReply {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.send(b"20:only a part")?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Replies with a netstring that is too long for the client.
#[derive(Debug, Clone, Copy)]
pub struct RepliesTooLong {
    /// The length of the request, in bytes on the wire.
    pub request_bytes: usize,
    /// The length of the reply's payload, in bytes.
    pub reply_bytes: usize,
}

impl Behaviour for RepliesTooLong {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.request_bytes)?;
        connection.send(&wire::netstring(wire::text(self.reply_bytes)))?;
        connection.receive_to_end().map(drop)
    }
}
