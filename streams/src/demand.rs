//! Demand: a stream forwarded into a sink that is asked first.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream};

/// Items that one poll forwards before others have their turn: nobody gets more before everybody who was ready has been
/// served. The second is mostly the look that finds nothing, so that a peer who sends one request at a time is not polled
/// twice for it.
const ITEMS_PER_POLL: u32 = 2;

/// Forwards `stream` into `sink` until the stream ends or either fails.
///
/// `futures`' own `forward` asks the stream first, and holds an item that the sink may not want yet. Here the sink
/// is asked first: while it is not ready, nothing is asked of the stream, so a slow sink slows the source (L5). Nor
/// does it close the sink, which may have to be closed another way after an error.
pub(crate) async fn forward<St, Si, T, E>(stream: &mut St, sink: &mut Si) -> Result<(), E>
where
    St: Stream<Item = Result<T, E>> + Unpin,
    Si: Sink<T, Error = E> + Unpin,
{
    std::future::poll_fn(|cx| poll_forward(Pin::new(&mut *stream), Pin::new(&mut *sink), cx)).await
}

fn poll_forward<St, Si, T, E>(
    mut stream: Pin<&mut St>,
    mut sink: Pin<&mut Si>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), E>>
where
    St: Stream<Item = Result<T, E>>,
    Si: Sink<T, Error = E>,
{
    for _ in 0..ITEMS_PER_POLL {
        ready!(sink.as_mut().poll_ready(cx))?;
        match ready!(stream.as_mut().poll_next(cx)) {
            Some(item) => sink.as_mut().start_send(item?)?,
            None => return sink.as_mut().poll_flush(cx),
        }
    }
    ready!(sink.as_mut().poll_flush(cx))?;
    // There is always more where this came from, and others are waiting.
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests;
