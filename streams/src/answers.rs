//! The requests of a connection as a lazy stream of replies. An item holds the replies to the requests of one read, or
//! to as many of them as the connection's turn allows, or the reply to one heavy request.
//!
//! A frame is lent out of the thread's read buffer and cannot leave the poll that read it, so it is answered there, and
//! an idle connection owns no buffer.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Stream, stream};
use poetry::netstring::Decoder;
use poetry::{Heavy, Refusal, Unanswered, panics};

use crate::buffer;
use crate::connection::{ByteStream, Connection, Expected};
use crate::ending::Ending;
use crate::offloading::Offloaded;
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
    /// Returns why the request is not answered here (S4, S25). `replies` is then unchanged.
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Self::Replies,
    ) -> Result<(), Unanswered<Self::Replies>>;
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
    S: ByteStream,
    A: Answering,
{
    let shared = connection.shared();
    // Boxed, as MEASURING explains: the task of an idle connection is a size smaller without it.
    let mut answers = Box::new(Answers {
        connection,
        service,
        decoder: Decoder::new(shared.limits.frame_bytes_max),
        turn: Turn::new(&shared.turns),
        unanswered: None,
        end: None,
    });
    stream::poll_fn(move |cx| answers.poll_next(cx))
}

struct Answers<'c, S: ByteStream, A: Answering> {
    connection: &'c Connection<S>,
    service: &'c A,
    decoder: Decoder,
    turn: Turn,
    unanswered: Option<Box<Rest<A::Replies>>>,
    /// Set once no more requests will be answered, with the error to end with.
    end: Option<Option<Box<Ending>>>,
}

/// What is left of a read to later turns. Nothing more is read meanwhile.
struct Rest<R> {
    /// The heavy request before the bytes, if it is under way (S25).
    offloaded: Option<Offloaded<R>>,
    bytes: Vec<u8>,
    start: usize,
}

impl<R> Rest<R> {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            offloaded: None,
            bytes,
            start: 0,
        }
    }

    /// What is left once the heavy request has been answered.
    fn without_offloaded(mut self: Box<Self>) -> Option<Box<Self>> {
        self.offloaded = None;
        Some(self).filter(|rest| !rest.bytes.is_empty())
    }
}

impl<S, A> Answers<'_, S, A>
where
    S: ByteStream,
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
            if let Some(Rest { offloaded, .. }) = self.unanswered.as_deref()
                && offloaded.is_some()
            {
                return self.poll_offloaded(cx);
            }
            let Poll::Ready(replies) = self.poll_answer(cx) else {
                self.turn.end();
                return self.poll_timeout(cx).map(|late| Some(Err(late)));
            };
            let replies = replies?;
            if replies.count() > 0 {
                self.connection.begin(replies.count());
                self.turn.count(replies.count());
                self.connection.waits_no_more();
                return Poll::Ready(Some(Ok(replies)));
            }
            buffer::give_spare(replies);
        }
        Poll::Ready(self.take_end())
    }

    fn take_end(&mut self) -> Option<Answered<A>> {
        self.end.as_mut().and_then(Option::take).map(Err)
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
                self.keep(Box::new(Rest::of(bytes)));
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
    fn keep(&mut self, rest: Box<Rest<A::Replies>>) {
        self.unanswered = Some(rest);
        self.connection.set_busy(true);
    }

    // ANCHOR: offload
    /// Has `heavy` answered by a thread that may block. Its reply is the next item; `rest` follows it.
    #[cold]
    fn offload(&mut self, heavy: Heavy<A::Replies>, rest: &[u8]) {
        self.connection.begin(1);
        let permits = Arc::clone(&self.connection.shared().offloading);
        let mut rest = Rest::of(rest.to_vec());
        rest.offloaded = Some(Offloaded::new(heavy, permits));
        self.keep(Box::new(rest));
    }

    /// The reply to the heavy request under way. The stream has been asked for it, so the replies before it are delivered.
    #[cold]
    fn poll_offloaded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answered<A>>> {
        self.connection.sees_stop();
        let rest = self.unanswered.as_mut();
        let offloaded = rest.and_then(|rest| rest.offloaded.as_mut());
        let Some(Poll::Ready(reply)) = offloaded.map(|offloaded| offloaded.poll(cx)) else {
            self.turn.end();
            return Poll::Pending;
        };
        self.unanswered = self.unanswered.take().and_then(Rest::without_offloaded);
        self.turn.count(1);
        self.connection.waits_no_more();
        match reply {
            Ok(Ok(replies)) => return Poll::Ready(Some(Ok(Box::new(replies)))),
            Ok(Err(refusal)) => self.end_with(Ending::Refused(refusal)),
            Err(message) => self.end_with(Ending::Panicked(message)),
        }
        Poll::Ready(self.take_end())
    }
    // ANCHOR_END: offload

    // ANCHOR: contain_panics
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
    // ANCHOR_END: contain_panics

    // ANCHOR: one_turn
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
                Err(error) => Err(Refusal::from(error).into()),
            };
            if let Err(unanswered) = answered {
                let rest = frames.rest();
                drop(frames);
                self.leave(unanswered, rest);
                return 0;
            }
        }
        if keep_alive { frames.rest().len() } else { 0 }
    }
    // ANCHOR_END: one_turn

    /// The peer has finished sending.
    #[cold]
    fn finish(&mut self) {
        match self.decoder.is_mid_frame() {
            true => self.end_with(Ending::Refused(Refusal::Truncated)),
            false => self.end = Some(None),
        }
    }

    /// The request before `rest` is not answered here.
    #[cold]
    fn leave(&mut self, unanswered: Unanswered<A::Replies>, rest: &[u8]) {
        match unanswered {
            Unanswered::Refused(refusal) => self.end_with(Ending::Refused(refusal)),
            Unanswered::Heavy(heavy) => self.offload(heavy, rest),
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
        let mid_frame = self.decoder.is_mid_frame();
        self.connection.set_busy(mid_frame);
        if self.connection.sees_stop() && !mid_frame {
            return Poll::Ready(Box::new(Ending::Stopped));
        }
        let (expected, late) = match mid_frame {
            true => (Expected::RestOfRequest, Ending::Deadline),
            false => (Expected::NextRequest, Ending::Idle),
        };
        let polled = self.connection.poll_late(expected, cx);
        polled.map(|()| Box::new(late))
    }
}
