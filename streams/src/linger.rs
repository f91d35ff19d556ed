//! The lingering close (S7): unread input in a socket must not destroy a reply on its way.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::buffer;
use crate::connection::{ByteStream, Connection, Expected};

// ANCHOR: linger
/// Shuts down the write side, then drains input until the peer's FIN, for a bounded time and number of bytes.
/// Afterwards the connection may be dropped, however the draining ended.
// Not an `async fn`: what it holds would enlarge every idle connection.
pub(crate) fn linger<S>(mut connection: &Connection<S>) -> impl Future<Output = ()>
where
    S: ByteStream,
{
    connection.set_lingering();
    let mut bytes_left = connection.shared().limits.linger_bytes_max;
    let mut sends = true;
    poll_fn(move |cx| {
        if sends && ready!(Pin::new(&mut connection).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        sends = false;
        connection.sees_stop();
        match poll_drain(connection, &mut bytes_left, cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => connection.poll_late(Expected::Fin, cx),
        }
    })
}
// ANCHOR_END: linger

/// Ready when the peer has finished or `bytes_left` have been read.
fn poll_drain<S>(
    mut connection: &Connection<S>,
    bytes_left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()>
where
    S: ByteStream,
{
    loop {
        match buffer::poll_discard(&mut connection, cx) {
            Poll::Ready(Ok(bytes @ 1..)) if bytes < *bytes_left => *bytes_left -= bytes,
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}
