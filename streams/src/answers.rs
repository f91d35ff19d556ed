//! The requests of a connection as a lazy stream of replies. An item holds the replies to the requests of one read, or
//! to as many of them as the connection's turn allows.
//!
//! A frame is lent out of the thread's read buffer and cannot leave the poll that read it, so it is answered there, and
//! an idle connection owns no buffer.

use std::task::{Context, Poll, ready};

use futures::{Stream, stream};
use poetry::netstring::Decoder;
use poetry::{Refusal, panics};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer;
use crate::connection::Connection;
use crate::ending::Ending;
use crate::replies::Replies;
use crate::turns::Turn;

/// A service whose requests are netstrings.
pub(crate) trait Answering {
    /// The replies to requests that arrived together.
    type Replies: Replies;

    /// Whether a connection may send more than one request (S5).
    fn keep_alive(&self) -> bool;

    /// Appends the reply to the request in `frame`.
    ///
    /// # Errors
    /// Returns why the request is refused (S4). `replies` is then unchanged.
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Self::Replies,
    ) -> Result<(), Refusal>;
}

/// The replies to requests that arrived together, or why no more requests are answered.
pub(crate) type Answered<A> = Result<Box<<A as Answering>::Replies>, Box<Ending>>;

/// The replies to the requests that arrive on `connection`.
///
/// Nothing is read until the stream is polled (L1), and then only what one turn answers (S24). An error is the last item
/// (L4): a refusal or a panic, an expired timeout (S18), the stop of the server (S21), or a broken connection. Replies to
/// the requests before it come first.
pub(crate) fn answers<'c, S, A>(
    connection: &'c Connection<S>,
    service: &'c A,
) -> impl Stream<Item = Answered<A>> + Unpin
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answering,
{
    let shared = connection.shared();
    let mut answers = Answers {
        connection,
        service,
        decoder: Decoder::new(shared.limits.frame_bytes_max),
        turn: Turn::new(&shared.turns),
        unanswered: None,
        end: None,
        wait: Wait::None,
    };
    stream::poll_fn(move |cx| answers.poll_next(cx))
}

struct Answers<'c, S, A> {
    connection: &'c Connection<S>,
    service: &'c A,
    decoder: Decoder,
    turn: Turn,
    unanswered: Option<Box<Unanswered>>,
    /// Set once no more requests will be answered, with the error to end with.
    end: Option<Option<Box<Ending>>>,
    wait: Wait,
}

/// Bytes that were read in a turn but are left to the next ones. Nothing more is read meanwhile.
struct Unanswered {
    bytes: Vec<u8>,
    start: usize,
}

/// What the connection's deadline is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    None,
    NextRequest,
    RestOfRequest,
}

impl<S, A> Answers<'_, S, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answering,
{
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answered<A>>> {
        while self.end.is_none() {
            ready!(self.turn.poll(cx));
            if self.connection.was_in_flight_at_stop() && !self.is_in_flight() {
                // The server stops, and what was in flight has been answered (S21).
                break;
            }
            let Poll::Ready(replies) = self.poll_answer(cx) else {
                self.turn.end();
                return self.poll_timeout(cx).map(|late| Some(Err(late)));
            };
            let replies = replies?;
            if replies.count() > 0 {
                self.turn.count(replies.count());
                self.wait = Wait::None;
                return Poll::Ready(Some(Ok(replies)));
            }
            buffer::give_spare(replies);
        }
        let end = self.end.as_mut().and_then(Option::take);
        Poll::Ready(end.map(Err))
    }

    /// Answers the bytes that an earlier turn has left or, if there are none, those of one read.
    // Forced: MEASURING says what that saves.
    #[inline(always)]
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answered<A>> {
        let mut connection = self.connection;
        let earlier = self.unanswered.take();
        let lent = earlier
            .as_ref()
            .map(|earlier| &earlier.bytes[earlier.start..]);
        let answered = buffer::poll_lend(lent, &mut connection, cx, |bytes| {
            let (replies, left) = self.answer(bytes);
            if left > 0 && earlier.is_none() {
                let bytes = bytes[bytes.len() - left..].to_vec();
                self.keep(Box::new(Unanswered { bytes, start: 0 }));
            }
            (replies, left)
        });
        let Ok((replies, left)) = ready!(answered) else {
            return Poll::Ready(Err(Box::new(Ending::Broken)));
        };
        if let Some(mut earlier) = earlier
            && left > 0
        {
            earlier.start = earlier.bytes.len() - left;
            self.keep(earlier);
        }
        Poll::Ready(Ok(replies))
    }

    #[cold]
    fn keep(&mut self, unanswered: Box<Unanswered>) {
        self.unanswered = Some(unanswered);
        self.connection.set_busy(true);
    }

    /// Answers the requests in `bytes` that this turn allows. Returns the replies and the number of bytes left.
    #[inline]
    fn answer(&mut self, bytes: &[u8]) -> (Box<A::Replies>, usize) {
        let mut replies = buffer::take_spare();
        if bytes.is_empty() {
            self.finish();
            return (replies, 0);
        }
        // A panic leaves the replies before it whole (S20).
        match panics::contain(|| self.answer_frames(bytes, &mut replies)) {
            Ok(left) => (replies, left),
            Err(message) => {
                self.end_with(Ending::Panicked(message));
                (replies, 0)
            }
        }
    }

    #[inline]
    fn answer_frames(&mut self, bytes: &[u8], replies: &mut A::Replies) -> usize {
        let limit = self.connection.shared().limits.frame_bytes_max;
        let keep_alive = self.service.keep_alive();
        let requests_max = if keep_alive {
            self.turn.requests_left()
        } else {
            1
        };
        let mut frames = self.decoder.feed(bytes);
        while replies.count() < requests_max {
            let answered = match frames.next() {
                Ok(Some(frame)) => self.service.answer(frame, limit, replies),
                Ok(None) => return 0,
                Err(error) => Err(error.into()),
            };
            if let Err(refusal) = answered {
                drop(frames);
                self.end_with(Ending::Refused(refusal));
                return 0;
            }
        }
        if keep_alive { frames.rest().len() } else { 0 }
    }

    /// The peer has finished sending.
    #[cold]
    fn finish(&mut self) {
        match self.decoder.is_mid_frame() {
            true => self.end_with(Ending::Refused(Refusal::Truncated)),
            false => self.end = Some(None),
        }
    }

    #[cold]
    fn end_with(&mut self, ending: Ending) {
        self.decoder.close();
        self.end = Some(Some(Box::new(ending)));
    }

    /// Whether a request has begun to arrive and is not answered (S18, S21).
    fn is_in_flight(&self) -> bool {
        self.decoder.is_mid_frame() || self.unanswered.is_some()
    }

    /// Ready when more bytes are late: the next request after the idle timeout, the rest of a request after its
    /// deadline, which counts from its first byte (S18). Once the server stops, an idle connection does not wait at all
    /// (S21).
    #[inline]
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Box<Ending>> {
        let limits = &self.connection.shared().limits;
        let mid_frame = self.decoder.is_mid_frame();
        self.connection.set_busy(mid_frame);
        if self.connection.sees_stop() && !mid_frame {
            return Poll::Ready(Box::new(Ending::Stopped));
        }
        let (wait, timeout, late) = match mid_frame {
            true => (
                Wait::RestOfRequest,
                limits.request_deadline,
                Ending::Deadline,
            ),
            false => (Wait::NextRequest, limits.idle_timeout, Ending::Idle),
        };
        let renewed = (self.wait != wait).then_some(timeout);
        self.wait = wait;
        self.connection
            .poll_due(renewed, cx)
            .map(|()| Box::new(late))
    }
}
