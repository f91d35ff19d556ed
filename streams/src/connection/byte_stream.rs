//! The byte stream of a connection.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// A server's socket, or what a test has in its place.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin {
    /// The address of this end.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Has the next read try the kernel although no bytes have been announced.
    fn reads_at_once(&mut self) {}

    /// Has written bytes wait for FIN, so that both leave in one segment. FIN must follow at once.
    fn sends_with_fin(&mut self) {}

    /// Has it close with a reset instead of FIN when it is dropped.
    fn reset_on_close(&self) {}
}
