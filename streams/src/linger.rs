//! The lingering close (S7): a reply must not be lost because unread input was in the socket.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer;
use crate::connection::Connection;

/// How far a lingering close has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Linger {
    /// Our side is still open.
    #[default]
    Open,
    /// FIN is sent; so many bytes will be drained at most.
    Draining { bytes_left: usize },
}

impl Linger {
    // ANCHOR: linger
    /// Shuts down our side, then drains the peer's until its FIN, for a bounded time and number of bytes. However
    /// that ends, the connection may then be dropped.
    pub(crate) fn poll<S>(&mut self, mut socket: &Connection<S>, cx: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = &socket.shared().limits;
        let mut timeout = None;
        if let Self::Open = self {
            socket.set_busy(true);
            if ready!(Pin::new(&mut socket).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            timeout = Some(limits.linger_timeout);
            let bytes_left = limits.linger_bytes_max;
            *self = Self::Draining { bytes_left };
        }
        socket.sees_stop();
        while let Self::Draining { bytes_left } = self {
            match buffer::poll_discard(&mut socket, cx) {
                Poll::Ready(Ok(bytes @ 1..)) if bytes < *bytes_left => *bytes_left -= bytes,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        socket.poll_due(timeout, cx)
    }
    // ANCHOR_END: linger
}
