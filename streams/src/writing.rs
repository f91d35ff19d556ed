//! Writing to a connection until the kernel has taken everything, or nothing for the write timeout (S18).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::connection::Connection;
use crate::ending::Ending;

/// How far the bytes at hand have been taken.
#[derive(Debug)]
pub(crate) struct Writing<'c, S> {
    connection: &'c Connection<S>,
    taken: usize,
    /// Whether the deadline is that of a write.
    waiting: bool,
}

impl<'c, S> Writing<'c, S>
where
    S: AsyncWrite + Unpin,
{
    /// Nothing to write yet.
    pub(crate) fn new(connection: &'c Connection<S>) -> Self {
        Self {
            connection,
            taken: 0,
            waiting: false,
        }
    }

    /// Begins anew, with other bytes.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.taken = 0;
        self.waiting = false;
    }

    /// How many bytes have been taken since it began anew.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Ready when all of `bytes`, the same at every call, have been taken.
    #[inline]
    pub(crate) fn poll_all(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        while self.taken < bytes.len() {
            match Pin::new(&mut self.connection).poll_write(cx, &bytes[self.taken..]) {
                Poll::Ready(Ok(0)) => {
                    let gone = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(gone.into()));
                }
                Poll::Ready(Ok(written)) => {
                    self.taken += written;
                    self.waiting = false;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return self.poll_timeout(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whoever takes a byte has the whole write timeout for the next.
    #[cold]
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.connection.sees_stop();
        let timeout = self.connection.site().limits.write_timeout;
        let renewed = (!self.waiting).then_some(timeout);
        self.waiting = true;
        ready!(self.connection.poll_due(renewed, cx));
        Poll::Ready(Err(Ending::Write))
    }
}
