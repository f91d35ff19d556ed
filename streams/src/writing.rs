//! Writing to a connection until the kernel has taken every byte, or none for the write timeout (S18).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poetry::netstring::frames_within;
use tokio::io::AsyncWrite;

use crate::answers::Replies;
use crate::buffer;
use crate::connection::Connection;
use crate::ending::Ending;

/// Writes `replies`, in one write if the kernel takes them whole. They count as answered one by one, so that only those
/// whose last byte was not taken can fail (S23).
pub(crate) async fn deliver<S>(
    connection: &Connection<S>,
    replies: Box<Replies>,
) -> Result<(), Box<Ending>>
where
    S: AsyncWrite + Unpin,
{
    connection.begin(replies.count);
    let mut answered = 0;
    write_all(connection, &replies.bytes, |taken| {
        let whole = frames_within(&replies.bytes, taken).frames as u32;
        connection.answered(whole - answered);
        answered = whole;
    })
    .await?;
    connection.answered(replies.count - answered);
    buffer::give_spare(replies);
    Ok(())
}

/// Writes `bytes`. Whenever that does not succeed at once, `on_part_written` is called with the number of bytes that the
/// kernel has taken.
pub(crate) async fn write_all<S>(
    connection: &Connection<S>,
    bytes: &[u8],
    mut on_part_written: impl FnMut(usize),
) -> Result<(), Box<Ending>>
where
    S: AsyncWrite + Unpin,
{
    let mut taken = 0;
    let mut waits = false;
    poll_fn(|cx| {
        let mut socket = connection;
        while taken < bytes.len() {
            let polled = Pin::new(&mut socket).poll_write(cx, &bytes[taken..]);
            if let Poll::Ready(Ok(written @ 1..)) = polled {
                taken += written;
                waits = false;
                continue;
            }
            on_part_written(taken);
            if polled.is_ready() {
                return Poll::Ready(Err(Box::new(Ending::Broken)));
            }
            let begins = !std::mem::replace(&mut waits, true);
            return poll_timeout(connection, begins, cx).map(Err);
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Ready when the peer has taken no byte for the write timeout. A write has just failed to find room then, so a peer is
/// not closed while there is room that the kernel has not announced.
#[cold]
fn poll_timeout<S>(
    connection: &Connection<S>,
    begins: bool,
    cx: &mut Context<'_>,
) -> Poll<Box<Ending>> {
    connection.sees_stop();
    let timeout = connection.shared().limits.write_timeout;
    ready!(connection.poll_due(begins.then_some(timeout), cx));
    Poll::Ready(Box::new(Ending::Write))
}
