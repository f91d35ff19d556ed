//! Peers that send more than they should, or more than anybody wants to read.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use crate::connection::Connection;
use crate::failure::Check;

/// Sends what cannot be a netstring, whatever it is cut into.
#[derive(Debug, Clone, Copy)]
pub struct SendsGarbage;

impl SendsGarbage {
    /// What it sends.
    pub const GARBAGE: &'static [u8] = b"GET /poem HTTP/1.1\r\nHost: quatrain\r\n\r\n";

    /// Sends it to `server`.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn send(self, server: SocketAddr) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(Self::GARBAGE)?;
        Ok(connection)
    }
}

/// Sends a request and much behind it that nobody will answer: unread, it turns a careless close into a reset (S7).
#[derive(Debug, Clone, Copy)]
pub struct LeavesUnreadInput;

impl LeavesUnreadInput {
    /// How much it sends behind the request: more than one read, less than a lingering close drains.
    pub const BYTES_BEHIND: usize = 400_000;

    /// Sends `request`, and the rest behind it, in one go.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn send(self, server: SocketAddr, request: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        let mut bytes = request.to_vec();
        bytes.resize(request.len() + Self::BYTES_BEHIND, b'x');
        connection.send(&bytes)?;
        Ok(connection)
    }
}

/// Sends many requests without waiting for a reply, from a thread of its own, so that it may be made to wait.
#[derive(Debug)]
pub struct PipelinesMany {
    sender: JoinHandle<io::Result<()>>,
}

impl PipelinesMany {
    /// Begins to send `request` over `connection`, `count` times.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn begin(connection: &Connection, request: &[u8], count: usize) -> Check<Self> {
        let mut connection = connection.second_handle()?;
        let request = request.to_vec();
        let sender = thread::spawn(move || {
            for _ in 0..count {
                connection.try_send(&request)?;
            }
            Ok(())
        });
        Ok(Self { sender })
    }

    /// Breaks the connection: RST, also where the sender waits in a write.
    ///
    /// # Errors
    /// The system refused.
    pub fn reset(self, connection: Connection) -> Check {
        connection.wake_with_reset()?;
        // Its end of the connection has to be closed too, or there is no reset.
        drop(self.sender.join());
        drop(connection);
        Ok(())
    }

    /// Whether all was sent, when the sending has ended.
    pub fn sent_all(self) -> bool {
        matches!(self.sender.join(), Ok(Ok(())))
    }
}

/// Sends without end until it is stopped by force, to a server that wants to close.
#[derive(Debug, Clone, Copy)]
pub struct SendsForever;

impl SendsForever {
    /// So much that a server which goes on draining is at fault.
    const BYTES_MAX: usize = 256 << 20;

    /// Sends over `connection` until the server has had enough; how many bytes it took, if it ever had enough.
    pub fn until_closed(self, connection: &mut Connection) -> Option<usize> {
        let piece = [b'x'; 16 << 10];
        let mut sent = 0;
        while sent < Self::BYTES_MAX {
            if connection.try_send(&piece).is_err() {
                return Some(sent);
            }
            sent += piece.len();
        }
        None
    }
}
