//! Servers that break off, or answer with what is no answer. The transform servers among them read the request
//! first, so that it is never their unread input that breaks the connection.

use super::Behaviour;
use crate::connection::Connection;
use crate::failure::Check;
use crate::wire;

/// Reads so many bytes of a request, and breaks the connection.
#[derive(Debug, Clone, Copy)]
pub struct ResetsOnRequest(pub usize);

impl Behaviour for ResetsOnRequest {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.reset()
    }
}

/// Reads so many bytes of a request, and closes.
#[derive(Debug, Clone, Copy)]
pub struct ClosesWithoutReply(pub usize);

impl Behaviour for ClosesWithoutReply {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.0)?;
        connection.half_close()?;
        connection.receive_to_end().map(drop)
    }
}

/// Replies with something that is no netstring.
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

/// Closes in the middle of its reply.
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

/// Replies with a netstring of so many bytes.
#[derive(Debug, Clone, Copy)]
pub struct RepliesTooLong {
    /// The length of the request, in bytes on the wire.
    pub request_bytes: usize,
    /// The length of the reply's payload.
    pub reply_bytes: usize,
}

impl Behaviour for RepliesTooLong {
    fn serve(&self, mut connection: Connection) -> Check {
        connection.receive(self.request_bytes)?;
        connection.send(&wire::netstring(wire::text(self.reply_bytes)))?;
        connection.receive_to_end().map(drop)
    }
}
