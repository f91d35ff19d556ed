//! Taking turns: a source that always has more waits now and then, so that others are read too.
//!
//! tokio gives each task a budget for that. Many poems may be read by one task, though, and they would all live on the
//! one budget: so the [`joins`](crate::joins) lift it, and each source has a measure of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads without a wait, after which it is for others to read.
const READS_PER_TURN: u8 = 4;

/// A socket, or what stands for one, that takes turns when it is read.
#[derive(Debug)]
pub(crate) struct TakesTurns<S> {
    socket: S,
    reads_left: u8,
}

impl<S> TakesTurns<S> {
    /// The same socket, in turns.
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            reads_left: READS_PER_TURN,
        }
    }

    /// The socket itself.
    pub(crate) fn get_ref(&self) -> &S {
        &self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TakesTurns<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.reads_left.checked_sub(1) else {
            self.reads_left = READS_PER_TURN;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.reads_left = READS_PER_TURN;
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.reads_left = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TakesTurns<S> {
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
    use std::future::Future;
    use std::pin::pin;
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
    fn a_source_that_always_has_more_waits_now_and_then_and_asks_to_be_polled_again() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut endless = TakesTurns::new(tokio::io::repeat(b'a'));
        for turn in 1..4 {
            for _ in 0..READS_PER_TURN {
                assert!(pin!(endless.read_u8()).poll(&mut cx).is_ready());
            }
            assert!(pin!(endless.read_u8()).poll(&mut cx).is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), turn);
        }
    }

    #[test]
    fn a_source_that_has_waited_for_its_peer_has_a_whole_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut source = TakesTurns::new(ours);
        for reads in [READS_PER_TURN - 1, READS_PER_TURN] {
            for _ in 0..reads {
                assert!(pin!(theirs.write_u8(7)).poll(&mut cx).is_ready());
                assert!(pin!(source.read_u8()).poll(&mut cx).is_ready());
            }
            if reads < READS_PER_TURN {
                assert!(pin!(source.read_u8()).poll(&mut cx).is_pending());
            }
        }
    }
}
