//! A shared reference to a connection as a byte stream that counts and reports what it moves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poetry::Kind;
use poetry::event::Interest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ByteStream, Connection};

impl<S: ByteStream> AsyncRead for &Connection<S> {
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.socket.borrow_mut()).poll_read(cx, buffer))?;
        let bytes = (buffer.filled().len() - before) as u64;
        if bytes > 0 {
            self.shared.counters.read(bytes);
            self.report(Interest::READ, || Kind::Read { bytes });
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteStream> AsyncWrite for &Connection<S> {
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.socket.borrow_mut()).poll_write(cx, bytes);
        let bytes = ready!(polled)?;
        self.wrote(bytes as u64);
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.socket.borrow_mut()).poll_write_vectored(cx, slices);
        let bytes = ready!(polled)?;
        self.wrote(bytes as u64);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_shutdown(cx)
    }
}
