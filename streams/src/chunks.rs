//! A byte source as a lazy stream of chunks, and adaptors that bound one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use poetry::FetchFailure;
use poetry::error::Timeout;
use tokio::io::AsyncRead;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::buffer;
use crate::deadlines::after;

/// The bytes of each read of `source`, one read for each chunk that is asked for (L2). A chunk has at least one byte
/// and at most [`READ_BUFFER_BYTES`](poetry::limits::READ_BUFFER_BYTES).
pub fn chunks<R>(mut source: R) -> EndsWithError<impl Stream<Item = io::Result<Vec<u8>>>>
where
    R: AsyncRead + Unpin,
{
    ends_with_error(stream::poll_fn(move |cx| {
        let chunk = ready!(buffer::poll_read_with(&mut source, cx, <[u8]>::to_vec))?;
        Poll::Ready((!chunk.is_empty()).then_some(Ok(chunk)))
    }))
}

/// [`chunks`], none later than `timeout` after it was asked for. A read that fails means that the connection is lost.
pub(crate) fn timely<R>(
    source: R,
    timeout: Duration,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin + use<R>
where
    R: AsyncRead + Unpin,
{
    let chunks = chunks(source).map_err(|error| FetchFailure::connection_lost(&error));
    idle_timeout(chunks, timeout)
}

/// The items of `stream` up to and including the first error (L4).
pub fn ends_with_error<St>(stream: St) -> EndsWithError<St> {
    EndsWithError {
        stream: Some(stream),
    }
}

/// A stream that is dropped as soon as it has failed or ended, which frees its socket at once.
#[derive(Debug)]
pub struct EndsWithError<St> {
    stream: Option<St>,
}

// ANCHOR: ends_with_error
impl<St, T, E> Stream for EndsWithError<St>
where
    St: Stream<Item = Result<T, E>> + Unpin,
{
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let item = ready!(stream.poll_next_unpin(cx));
        if !matches!(item, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(item)
    }
}
// ANCHOR_END: ends_with_error

/// Fails when an item does not come within `timeout` of the first poll for it.
pub fn idle_timeout<T>(
    stream: impl Stream<Item = Result<T, FetchFailure>> + Unpin,
    timeout: Duration,
) -> impl Stream<Item = Result<T, FetchFailure>> + Unpin {
    let mut stream = stream;
    let mut due = None;
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    ends_with_error(stream::poll_fn(move |cx| {
        if let Poll::Ready(item) = stream.poll_next_unpin(cx) {
            due = None;
            return Poll::Ready(item);
        }
        let due = *due.get_or_insert_with(|| after(Instant::now(), timeout));
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // The timer may still be set for an earlier item. It is reset only once that time has passed.
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(Some(Err(FetchFailure::TimedOut(Timeout::Idle))));
            }
            timer.as_mut().reset(due);
        }
    }))
}

/// Fails when the stream has not ended within `total`; never, if that is `None`. The time counts from the first poll.
pub fn total_deadline<T>(
    stream: impl Stream<Item = Result<T, FetchFailure>> + Unpin,
    total: Option<Duration>,
) -> impl Stream<Item = Result<T, FetchFailure>> + Unpin {
    let mut stream = stream;
    let mut passed = None;
    ends_with_error(stream::poll_fn(move |cx| {
        if let Some(total) = total {
            let begin = || Box::pin(sleep_until(after(Instant::now(), total)));
            if passed
                .get_or_insert_with(begin)
                .as_mut()
                .poll(cx)
                .is_ready()
            {
                return Poll::Ready(Some(Err(FetchFailure::TimedOut(Timeout::Total))));
            }
        }
        stream.poll_next_unpin(cx)
    }))
}

/// The first `bytes` bytes. With the last of them `stream` is dropped.
///
/// ```
/// # use futures::{StreamExt, TryStreamExt, executor::block_on, stream};
/// use streams::chunks::take_bytes;
///
/// let endless = stream::repeat(b"la ".to_vec()).map(Ok::<_, ()>);
/// let song = block_on(take_bytes(endless, 8).try_concat());
/// assert_eq!(song, Ok(b"la la la".to_vec()));
/// ```
pub fn take_bytes<E>(
    stream: impl Stream<Item = Result<Vec<u8>, E>> + Unpin,
    bytes: usize,
) -> impl Stream<Item = Result<Vec<u8>, E>> + Unpin {
    let mut stream = Some(stream);
    let mut left = bytes;
    stream::poll_fn(move |cx| {
        let Some(source) = stream.as_mut().filter(|_| left > 0) else {
            stream = None;
            return Poll::Ready(None);
        };
        let mut item = ready!(source.poll_next_unpin(cx));
        if let Some(Ok(chunk)) = &mut item {
            chunk.truncate(left);
            left -= chunk.len();
        }
        if left == 0 {
            stream = None;
        }
        Poll::Ready(item)
    })
}

// ANCHOR: at_most
/// Fails as soon as the chunks are together longer than `limit` bytes.
pub fn at_most(
    stream: impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin,
    limit: usize,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin {
    let mut length = 0_usize;
    ends_with_error(stream.map(move |chunk| {
        let chunk = chunk?;
        length = length.saturating_add(chunk.len());
        if length > limit {
            return Err(FetchFailure::TooLong {
                limit: limit as u64,
            });
        }
        Ok(chunk)
    }))
}
// ANCHOR_END: at_most

#[cfg(test)]
mod tests;
