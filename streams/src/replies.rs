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
    batch: Batch,
    writing: Writing<'c, S>,
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
            batch: Batch::default(),
            writing: Writing::new(connection),
            linger: Linger::default(),
        }
    }

    #[inline]
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if self.batch.replies == 0 {
            return Poll::Ready(Ok(()));
        }
        let polled = self.writing.poll_all(&self.batch.bytes, cx);
        if let Poll::Ready(Ok(())) = polled {
            self.delivered();
        } else {
            self.deliver_a_part();
        }
        polled
    }

    #[inline]
    fn delivered(&mut self) {
        self.writing.reset();
        let batch = std::mem::take(&mut self.batch);
        buffer::give_spare(batch.bytes);
        self.connection.answered(batch.replies);
    }

    /// Replies count as answered one by one, so that only those behind the last whole one can fail.
    #[cold]
    fn deliver_a_part(&mut self) {
        let bytes = &self.batch.bytes;
        let waiting = count_frames(bytes) - count_frames(&bytes[..self.writing.taken()]);
        self.connection.answered(self.batch.replies - waiting);
        self.batch.replies = waiting;
    }
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

impl<S> Sink<Batch> for Replies<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Error = Ending;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.get_mut().poll_deliver(cx)
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, batch: Batch) -> Result<(), Ending> {
        let this = self.get_mut();
        this.connection.begin(batch.replies);
        this.batch = batch;
        Ok(())
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.get_mut().poll_deliver(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let this = self.get_mut();
        ready!(this.poll_deliver(cx))?;
        this.linger.poll(this.connection, cx).map(Ok)
    }
}
