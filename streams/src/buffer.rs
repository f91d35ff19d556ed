//! The buffers of a thread: one to read into and one to write replies into, lent for the length of a poll.
//!
//! A connection that waits owns neither, which is why ten thousand of them cost so little; a reply that the
//! kernel takes at once never leaves the thread's own buffer.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poetry::limits::READ_BUFFER_BYTES;
use tokio::io::{AsyncRead, ReadBuf};

use crate::frames::Batch;

/// A larger reply buffer is not kept: one that grew for a long poem should not stay.
const SPARE_BYTES_MAX: usize = 4 * READ_BUFFER_BYTES;

thread_local! {
    static READ: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static SPARE: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// Reads once from `source` and lends what came to `use_it`; an empty slice is the end of the stream.
///
/// One read asks for [`READ_BUFFER_BYTES`]; what has not come by then waits in the kernel (L2). The bytes cannot
/// leave the poll: the next connection's are read to the same place.
// Always: see `Replies::poll_deliver`.
#[inline(always)]
pub(crate) fn poll_read_with<R, T>(
    source: &mut R,
    cx: &mut Context<'_>,
    use_it: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>>
where
    R: AsyncRead + Unpin,
{
    READ.with(|buffer| {
        let mut bytes = buffer.take().unwrap_or_else(fresh);
        let mut read = ReadBuf::new(&mut bytes);
        let polled = Pin::new(source).poll_read(cx, &mut read);
        let result = polled.map_ok(|()| use_it(read.filled()));
        buffer.set(Some(bytes));
        result
    })
}

#[cold]
fn fresh() -> Box<[u8]> {
    vec![0; READ_BUFFER_BYTES].into_boxed_slice()
}

/// Reads once and throws away what came: how many bytes, none at the end of the stream.
#[inline]
pub(crate) fn poll_discard<R>(source: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
where
    R: AsyncRead + Unpin,
{
    Poll::Ready(Ok(ready!(poll_read_with(source, cx, <[u8]>::len))?))
}

/// An empty batch to answer into: the thread's spare one, if nobody has it.
#[inline]
pub(crate) fn take_spare() -> Box<Batch> {
    SPARE.take().unwrap_or_default()
}

/// Gives a batch back, to be the thread's spare.
#[inline]
pub(crate) fn give_spare(mut batch: Box<Batch>) {
    if batch.bytes.capacity() <= SPARE_BYTES_MAX {
        batch.bytes.clear();
        batch.replies = 0;
        SPARE.set(Some(batch));
    }
}
