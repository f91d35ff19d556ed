//! The transform server: a stream of connections, each a stream of requests into a sink of replies (S2–S7).
//!
//! Three decisions carry it, and the poem server:
//!
//! - **Demand comes first.** The sink is asked whether it has room before the stream is asked for more, so nothing is read
//!   for a peer that does not listen. (`forward` in `futures` asks the stream first, and holds an item nobody wants yet.)
//! - **Frames are lent.** What one read brought is answered inside the poll that read it, out of a buffer of the thread's;
//!   so an item of the stream is what one read was answered with, and an idle connection owns no buffer.
//! - **Dropping is cancelling.** A connection is closed and counted when its task is dropped, at whatever point that is; a
//!   shutdown lets those in flight finish and then drops the runtime.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::{SinkExt, Stream, StreamExt};
use poetry::{CloseReason, Refusal, TransformService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::connection::Connection;
use crate::demand::forward;
use crate::ending::Ending;
use crate::frames::{Answers, Batch, frames};
use crate::replies::Replies;

/// Answers the requests of every connection of `connections`, each in a task of its own, until the stream ends;
/// those that are open then go on.
///
/// # Panics
/// Outside a tokio runtime that can spawn local tasks.
pub async fn serve_transforms<S>(
    connections: impl Stream<Item = Connection<S>>,
    service: TransformService,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = Rc::new(service);
    connections
        .for_each(|connection| {
            let service = Rc::clone(&service);
            spawn_local(async move { answer_requests(&connection, &service).await });
            std::future::ready(())
        })
        .await;
}

// ANCHOR: answer_requests
/// Answers what comes in on `connection`, in order, until it ends.
pub(crate) async fn answer_requests<S>(connection: &Connection<S>, service: &TransformService)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame_bytes_max = connection.shared().limits.frame_bytes_max;
    let answers = frames(connection, frame_bytes_max)
        .first_only(!service.keep_alive)
        .answer(|frame, replies| service.answer(frame, frame_bytes_max, replies));
    let mut requests = WithTimeouts::new(connection, answers);
    let mut replies = Replies::new(connection);

    let (lingers, reason) = match forward(&mut requests, &mut replies).await {
        Ok(()) => (true, CloseReason::Done),
        Err(ending) => (ending.lingers(), connection.account(*ending)),
    };
    if lingers && replies.close().await.is_err() {
        return connection.close(CloseReason::Reset);
    }
    connection.close(reason);
}
// ANCHOR_END: answer_requests

/// Requests that are waited for only so long: an idle timeout between them, a deadline for each from its first
/// byte (S18), and no wait at all once the server stops (S21).
#[derive(Debug)]
struct WithTimeouts<'c, S, A> {
    connection: &'c Connection<S>,
    answers: Answers<&'c Connection<S>, A>,
    awaited: Awaited,
}

/// What the connection's deadline has been set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Nothing,
    NextRequest,
    RestOfRequest,
}

impl<'c, S, A> WithTimeouts<'c, S, A> {
    fn new(connection: &'c Connection<S>, answers: Answers<&'c Connection<S>, A>) -> Self {
        Self {
            connection,
            answers,
            awaited: Awaited::Nothing,
        }
    }

    /// More bytes are needed: until when may they take?
    #[inline]
    fn poll_timeout(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Box<Batch>, Box<Ending>>>> {
        let limits = &self.connection.shared().limits;
        let mid_frame = self.answers.is_mid_frame();
        let (awaits, timeout) = if mid_frame {
            (Awaited::RestOfRequest, limits.request_deadline)
        } else {
            (Awaited::NextRequest, limits.idle_timeout)
        };
        self.connection.set_busy(mid_frame);
        if self.connection.sees_stop() && !mid_frame {
            return Poll::Ready(Some(Err(Box::new(Ending::Stopped))));
        }
        let renewed = (self.awaited != awaits).then_some(timeout);
        self.awaited = awaits;
        ready!(self.connection.poll_due(renewed, cx));
        let late = if mid_frame {
            Ending::Deadline
        } else {
            Ending::Idle
        };
        Poll::Ready(Some(Err(Box::new(late))))
    }
}

impl<S, A> Stream for WithTimeouts<'_, S, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal> + Unpin,
{
    type Item = Result<Box<Batch>, Box<Ending>>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.connection.was_in_flight_at_stop() && !this.answers.is_mid_frame() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.answers).poll_next(cx) {
            Poll::Ready(item) => {
                this.awaited = Awaited::Nothing;
                Poll::Ready(item)
            }
            Poll::Pending => this.poll_timeout(cx),
        }
    }
}

#[cfg(test)]
mod tests;
