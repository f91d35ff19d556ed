//! The lingering close (S7): unread input in a socket must not destroy a reply on its way.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer;
use crate::connection::Connection;

// ANCHOR: linger
/// Shuts down the write side, then drains input until the peer's FIN, for a bounded time and number of bytes.
/// Afterwards the connection may be dropped, however the draining ended.
pub(crate) async fn linger<S>(mut connection: &Connection<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &connection.shared().limits;
    connection.set_lingering();
    if poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx))
        .await
        .is_err()
    {
        return;
    }
    let mut timeout = Some(limits.linger_timeout);
    let mut bytes_left = limits.linger_bytes_max;
    poll_fn(|cx| {
        connection.sees_stop();
        match poll_drain(connection, &mut bytes_left, cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => connection.poll_due(timeout.take(), cx),
        }
    })
    .await;
}
// ANCHOR_END: linger

/// Ready when the peer has finished or `bytes_left` have been read.
fn poll_drain<S>(
    mut connection: &Connection<S>,
    bytes_left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match buffer::poll_discard(&mut connection, cx) {
            Poll::Ready(Ok(bytes @ 1..)) if bytes < *bytes_left => *bytes_left -= bytes,
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}
