//! The sink of a connection's replies: not ready while a byte of them waits to be taken (S5, L5).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Sink;
use poetry::netstring::Decoder;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer;
use crate::connection::Connection;
use crate::ending::Ending;
use crate::frames::Batch;
use crate::linger::Linger;
use crate::writing::Writing;

/// Writes batches of replies, each with one write where the kernel takes it whole. Closing it lingers (S7).
#[derive(Debug)]
pub(crate) struct Replies<'c, S> {
    connection: &'c Connection<S>,
    /// What waits to be taken.
    batch: Option<Box<Batch>>,
    writing: Writing,
    linger: Linger,
}

impl<'c, S> Replies<'c, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The replies of `connection`.
    pub(crate) fn new(connection: &'c Connection<S>) -> Self {
        Self {
            connection,
            batch: None,
            writing: Writing::default(),
            linger: Linger::default(),
        }
    }

    // Always, as six others on the way of a request: by callgrind it then takes 1,970 instructions, with only this and
    // the reading so, which save most alone, 2,006.
    #[inline(always)]
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        let Some(batch) = &mut self.batch else {
            return Poll::Ready(Ok(()));
        };
        let polled = self.writing.poll_all(self.connection, &batch.bytes, cx);
        if let Poll::Ready(Ok(())) = polled {
            self.connection.answered(batch.replies);
            if let Some(batch) = self.batch.take() {
                buffer::give_spare(batch);
            }
        } else {
            deliver_a_part(self.connection, batch, self.writing.taken());
        }
        polled
    }
}

/// Replies count as answered one by one, so that only those behind the last whole one can fail.
#[cold]
fn deliver_a_part<S>(connection: &Connection<S>, batch: &mut Batch, taken: usize) {
    let waiting = count_frames(&batch.bytes) - count_frames(&batch.bytes[..taken]);
    connection.answered(batch.replies - waiting);
    batch.replies = waiting;
}

/// How many whole netstrings `bytes` begins with.
fn count_frames(bytes: &[u8]) -> u32 {
    let mut decoder = Decoder::new(usize::MAX);
    let mut frames = decoder.feed(bytes);
    let mut count = 0;
    while let Ok(Some(_)) = frames.next() {
        count += 1;
    }
    count
}

impl<S> Sink<Box<Batch>> for Replies<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Error = Box<Ending>;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        self.get_mut().poll_deliver(cx)
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, batch: Box<Batch>) -> Result<(), Box<Ending>> {
        let this = self.get_mut();
        this.connection.begin(batch.replies);
        this.writing = Writing::default();
        this.batch = Some(batch);
        Ok(())
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        self.get_mut().poll_deliver(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        let this = self.get_mut();
        ready!(this.poll_deliver(cx))?;
        this.linger.poll(this.connection, cx).map(Ok)
    }
}
