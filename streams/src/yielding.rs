//! A client's socket that yields now and then although it has more to read, so that other poems are read too.
//!
//! tokio's own budget is per task, and one task may read many poems, which would all share it. So the
//! [`joins`](crate::joins) lift that budget, and each socket has a measure of its own.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use crate::descriptors::Descriptor;

/// Reads in a row, after which other sockets have their turn.
const READS_IN_A_ROW: u8 = 4;

/// A socket, or any byte stream, that yields after a few reads in a row.
#[derive(Debug)]
pub(crate) struct Yielding<S> {
    socket: S,
    reads_left: u8,
    /// Behind the socket, which is dropped first.
    _descriptor: Descriptor,
}

impl<S> Yielding<S> {
    /// Wraps `socket`.
    pub(crate) fn new(socket: S, descriptor: Descriptor) -> Self {
        Self {
            socket,
            reads_left: READS_IN_A_ROW,
            _descriptor: descriptor,
        }
    }

    /// The wrapped socket.
    pub(crate) fn get_ref(&self) -> &S {
        &self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Yielding<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.reads_left.checked_sub(1) else {
            self.reads_left = READS_IN_A_ROW;
            // tokio polls for I/O before it wakes a task that yields like this.
            return pin!(yield_now()).poll(cx).map(Ok);
        };
        self.reads_left = READS_IN_A_ROW;
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.reads_left = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Yielding<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_source_that_always_has_more_yields_and_wakes_its_task() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut endless = Yielding::new(tokio::io::repeat(b'a'), Descriptor::default());
        for turn in 1..4 {
            for _ in 0..READS_IN_A_ROW {
                assert!(pin!(endless.read_u8()).poll(&mut cx).is_ready());
            }
            assert!(pin!(endless.read_u8()).poll(&mut cx).is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), turn);
        }
    }

    #[test]
    fn a_source_that_waited_for_its_peer_starts_to_count_anew() {
        let mut cx = Context::from_waker(Waker::noop());
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut source = Yielding::new(ours, Descriptor::default());
        for reads in [READS_IN_A_ROW - 1, READS_IN_A_ROW] {
            for _ in 0..reads {
                assert!(pin!(theirs.write_u8(7)).poll(&mut cx).is_ready());
                assert!(pin!(source.read_u8()).poll(&mut cx).is_ready());
            }
            if reads < READS_IN_A_ROW {
                assert!(pin!(source.read_u8()).poll(&mut cx).is_pending());
            }
        }
    }
}
