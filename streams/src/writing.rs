//! Writing to a connection until the kernel has taken everything, or nothing for the write timeout (S18).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::connection::Connection;
use crate::ending::Ending;

/// How far the bytes at hand have been taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Writing {
    taken: usize,
    /// Whether the deadline is that of a write.
    waiting: bool,
}

impl Writing {
    /// How many bytes have been taken.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Ready when `connection` has taken all of `bytes`, which are the same at every call.
    // Always: see `Replies::poll_deliver`.
    #[inline(always)]
    pub(crate) fn poll_all<S>(
        &mut self,
        mut connection: &Connection<S>,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Box<Ending>>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.taken < bytes.len() {
            match Pin::new(&mut connection).poll_write(cx, &bytes[self.taken..]) {
                Poll::Ready(Ok(written @ 1..)) => {
                    self.taken += written;
                    self.waiting = false;
                }
                Poll::Ready(_) => return Poll::Ready(Err(Box::new(Ending::Broken))),
                Poll::Pending => return self.poll_timeout(connection, cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whoever takes a byte has the whole write timeout for the next. When it passes, a write has just been tried once
    /// more, in vain: so nobody is closed because room was there and had not been announced.
    #[cold]
    fn poll_timeout<S>(
        &mut self,
        connection: &Connection<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Box<Ending>>> {
        connection.sees_stop();
        let timeout = connection.shared().limits.write_timeout;
        let renewed = (!self.waiting).then_some(timeout);
        self.waiting = true;
        ready!(connection.poll_due(renewed, cx));
        Poll::Ready(Err(Box::new(Ending::Write)))
    }
}
