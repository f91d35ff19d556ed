//! Peers that send garbage, or more than the server reads.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use crate::connection::Connection;
use crate::failure::Check;

/// Sends bytes that are not the beginning of a netstring, however they are split.
#[derive(Debug, Clone, Copy)]
pub struct SendsGarbage;

impl SendsGarbage {
    /// The bytes.
    pub const GARBAGE: &'static [u8] = b"GET /poem HTTP/1.1\r\nHost: quatrain\r\n\r\n";

    /// Sends them to `server`.
    ///
    /// # Errors
    /// The server does not accept.
    pub fn send(self, server: SocketAddr) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        connection.send(Self::GARBAGE)?;
        Ok(connection)
    }
}

/// Sends a request and many bytes behind it. If the server closes without reading them, the kernel resets the connection (S7).
#[derive(Debug, Clone, Copy)]
pub struct LeavesUnreadInput;

impl LeavesUnreadInput {
    /// The bytes behind the request: more than one read, less than a lingering close drains.
    pub const BYTES_BEHIND: usize = 400_000;

    /// Sends `request` and the bytes behind it in one write.
    ///
    /// # Errors
    /// The server does not read them.
    pub fn send(self, server: SocketAddr, request: &[u8]) -> Check<Connection> {
        let mut connection = Connection::open(server)?;
        let mut bytes = request.to_vec();
        bytes.resize(request.len() + Self::BYTES_BEHIND, b'x');
        connection.send(&bytes)?;
        Ok(connection)
    }
}

/// Sends many requests without waiting for replies, from its own thread, since its writes may block.
#[derive(Debug)]
pub struct PipelinesMany {
    sender: JoinHandle<io::Result<()>>,
}

impl PipelinesMany {
    /// Starts to send `request` over `connection`, `count` times.
    ///
    /// # Errors
    /// The process has no descriptors left.
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

    /// Resets the connection, even while the sender is blocked in a write.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn reset(self, connection: Connection) -> Check {
        connection.wake_with_reset()?;
        // The kernel resets only when the sender's handle is closed too.
        drop(self.sender.join());
        drop(connection);
        Ok(())
    }

    /// Waits for the end of sending; returns whether all requests were sent.
    pub fn sent_all(self) -> bool {
        matches!(self.sender.join(), Ok(Ok(())))
    }
}

/// Sends until a server that is closing ends the connection.
#[derive(Debug, Clone, Copy)]
pub struct SendsForever;

impl SendsForever {
    /// No server may drain as many bytes before it ends the connection.
    const BYTES_MAX: usize = 256 << 20;

    /// Sends over `connection` until the server ends it; returns the number of bytes sent, or `None` if it never did.
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
