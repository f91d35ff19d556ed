//! Writing to a connection until the kernel has taken every byte, or none for the write timeout (S18).

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::buffer;
use crate::connection::Connection;
use crate::ending::Ending;
use crate::replies::{Outgoing, Replies};

/// Writes `replies`, in one write if the kernel takes them whole. Their requests are in flight, and count as answered one by
/// one, so that only those whose last byte was not taken can fail (S23).
// Not an `async fn`, which would hold its arguments twice in every idle connection.
pub(crate) fn deliver<S, R>(
    connection: &Connection<S>,
    replies: Box<R>,
) -> impl Future<Output = Result<(), Box<Ending>>>
where
    S: AsyncWrite + Unpin,
    R: Replies,
{
    let mut undelivered = Some(replies);
    let mut writing = Writing::default();
    let mut answered = 0;
    poll_fn(move |cx| {
        let Some(replies) = &mut undelivered else {
            return Poll::Ready(Ok(()));
        };
        let polled = writing.poll_all(connection, &**replies, cx);
        if let Poll::Ready(Ok(())) = polled {
            connection.answered(replies.count() - answered);
            if let Some(replies) = undelivered.take() {
                buffer::give_spare(replies);
            }
        } else {
            let whole = replies.whole_within(writing.taken);
            connection.answered(whole - answered);
            answered = whole;
        }
        polled
    })
}

/// Writes `bytes`.
pub(crate) async fn write_all<S>(
    connection: &Connection<S>,
    bytes: &[u8],
) -> Result<(), Box<Ending>>
where
    S: AsyncWrite + Unpin,
{
    let mut writing = Writing::default();
    poll_fn(|cx| writing.poll_all(connection, bytes, cx)).await
}

/// A write that may take several calls.
#[derive(Default)]
struct Writing {
    /// Bytes that the kernel has taken.
    taken: usize,
    /// Whether the connection's deadline is set for this write.
    waits: bool,
}

impl Writing {
    /// Ready once the kernel has taken all of `bytes`, which are the same at every call.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_all<S, O>(
        &mut self,
        mut connection: &Connection<S>,
        bytes: &O,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Box<Ending>>>
    where
        S: AsyncWrite + Unpin,
        O: Outgoing + ?Sized,
    {
        while self.taken < bytes.len() {
            match bytes.poll_write_from(self.taken, Pin::new(&mut connection), cx) {
                Poll::Ready(Ok(written @ 1..)) => {
                    self.taken += written;
                    self.waits = false;
                }
                Poll::Ready(_) => return Poll::Ready(Err(Box::new(Ending::Broken))),
                Poll::Pending => return self.poll_timeout(connection, cx).map(Err),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer has taken no byte for the write timeout. It is called just after a write that found no room,
    /// so a connection is not closed while there is room that the kernel has not announced.
    #[cold]
    fn poll_timeout<S>(
        &mut self,
        connection: &Connection<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Box<Ending>> {
        connection.sees_stop();
        let timeout = connection.shared().limits.write_timeout;
        let begins = !mem::replace(&mut self.waits, true);
        ready!(connection.poll_due(begins.then_some(timeout), cx));
        Poll::Ready(Box::new(Ending::Write))
    }
}
