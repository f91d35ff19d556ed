//! The buffers of a thread, one to read into and one for replies of each kind, lent for the length of a poll.
//!
//! A connection that waits owns neither. A reply that the kernel takes at once never leaves the thread's own buffer.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poetry::limits::READ_BUFFER_BYTES;
use tokio::io::{AsyncRead, ReadBuf};

use crate::replies::Replies;

thread_local! {
    static READ: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Reads once from `source` and lends the bytes to `on_bytes`; none at the end of the stream.
///
/// One read takes at most [`READ_BUFFER_BYTES`]; the rest stays in the kernel (L2). The next connection is read into
/// the same buffer, so the bytes cannot leave the poll.
#[inline]
pub(crate) fn poll_read_with<R, T>(
    source: &mut R,
    cx: &mut Context<'_>,
    on_bytes: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>>
where
    R: AsyncRead + Unpin,
{
    poll_lend(None, source, cx, on_bytes)
}

/// Lends `earlier` to `on_bytes` or, if there is none, the bytes of one read.
// Forced: MEASURING says what that saves.
#[inline(always)]
pub(crate) fn poll_lend<R, T>(
    earlier: Option<&[u8]>,
    source: &mut R,
    cx: &mut Context<'_>,
    on_bytes: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>>
where
    R: AsyncRead + Unpin,
{
    READ.with(|buffer| {
        let mut bytes = buffer.take().unwrap_or_else(fresh);
        let mut read = ReadBuf::new(&mut bytes);
        let polled = match earlier {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(source).poll_read(cx, &mut read),
        };
        let result = polled.map_ok(|()| on_bytes(earlier.unwrap_or(read.filled())));
        buffer.set(Some(bytes));
        result
    })
}

#[cold]
fn fresh() -> Box<[u8]> {
    vec![0; READ_BUFFER_BYTES].into_boxed_slice()
}

/// Reads once and discards the bytes. Returns their number, 0 at the end of the stream.
#[inline]
pub(crate) fn poll_discard<R>(source: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
where
    R: AsyncRead + Unpin,
{
    Poll::Ready(Ok(ready!(poll_read_with(source, cx, <[u8]>::len))?))
}

/// Takes the thread's spare reply buffer, or a new one while that is in use.
#[inline]
pub(crate) fn take_spare<R: Replies>() -> Box<R> {
    R::spare().take().unwrap_or_default()
}

/// Returns a reply buffer to be the thread's spare one.
#[inline]
pub(crate) fn give_spare<R: Replies>(mut replies: Box<R>) {
    if replies.clear() {
        R::spare().set(Some(replies));
    }
}
