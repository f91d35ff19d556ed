//! A byte source as a stream of answered requests.
//!
//! Frames are lent out of the thread's read buffer, so they cannot leave the poll that read them. Therefore the
//! answering function goes to the frames: `frames(source).answer(f)` is a stream whose item is what one read was
//! answered with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use poetry::netstring::Decoder;
use poetry::{Refusal, panics};
use tokio::io::AsyncRead;

use crate::buffer;
use crate::ending::Ending;

/// The frames of `source`, each of at most `frame_bytes_max` bytes. Nothing is read until somebody asks (L1).
pub(crate) fn frames<R>(source: R, frame_bytes_max: usize) -> Frames<R> {
    Frames {
        source,
        decoder: Decoder::new(frame_bytes_max),
        first_only: false,
    }
}

/// Frames that can be answered.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    source: R,
    decoder: Decoder,
    first_only: bool,
}

impl<R> Frames<R> {
    /// Only the first frame, if `first_only`; what comes behind it is not looked at (S5).
    pub(crate) fn first_only(self, first_only: bool) -> Self {
        Self { first_only, ..self }
    }

    /// Answers each frame where it lies: `answer` appends the reply, or says why there is none.
    pub(crate) fn answer<A>(self, answer: A) -> Answers<R, A>
    where
        A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal>,
    {
        Answers {
            source: self.source,
            answering: Answering {
                decoder: self.decoder,
                first_only: self.first_only,
                answer,
                over: false,
                ending: None,
            },
        }
    }
}

/// What the frames of one read were answered with.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The replies, one behind the other.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) replies: u32,
}

/// A stream of answered requests; made by [`Frames::answer`]. After an error it ends (L4).
#[derive(Debug)]
pub(crate) struct Answers<R, A> {
    source: R,
    answering: Answering<A>,
}

impl<R, A> Answers<R, A> {
    /// Whether a request has begun and not ended (S18, S21).
    #[inline]
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.answering.decoder.is_mid_frame()
    }
}

impl<R, A> Stream for Answers<R, A>
where
    R: AsyncRead + Unpin,
    A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal> + Unpin,
{
    type Item = Result<Box<Batch>, Box<Ending>>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { source, answering } = self.get_mut();
        while !answering.over {
            let read = buffer::poll_read_with(source, cx, |bytes| answering.answer_read(bytes));
            let batch = ready!(read).map_err(Ending::from)?;
            if batch.replies > 0 {
                return Poll::Ready(Some(Ok(batch)));
            }
            buffer::give_spare(batch);
        }
        Poll::Ready(answering.ending.take().map(Err))
    }
}

/// Answers what was read, until there is nothing more to answer.
#[derive(Debug)]
struct Answering<A> {
    decoder: Decoder,
    first_only: bool,
    answer: A,
    over: bool,
    /// The error behind the last batch, which must be delivered first.
    ending: Option<Box<Ending>>,
}

impl<A> Answering<A>
where
    A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal>,
{
    /// Answers the frames that `bytes` complete; no bytes are the end of the source.
    #[inline]
    fn answer_read(&mut self, bytes: &[u8]) -> Box<Batch> {
        let mut batch = buffer::take_spare();
        if bytes.is_empty() {
            self.finish();
            return batch;
        }
        // A panic leaves the replies before it whole (S20).
        if let Err(message) = panics::contain(|| self.answer_all(bytes, &mut batch)) {
            self.end(Ending::Panicked(message));
        }
        if self.over {
            self.decoder.close();
        }
        batch
    }

    #[inline]
    fn answer_all(&mut self, bytes: &[u8], batch: &mut Batch) {
        let mut frames = self.decoder.feed(bytes);
        while !self.over {
            let answered = match frames.next() {
                Ok(Some(frame)) => (self.answer)(frame, &mut batch.bytes),
                Ok(None) => return,
                Err(error) => Err(error.into()),
            };
            match answered {
                Ok(()) => batch.replies += 1,
                Err(refusal) => {
                    drop(frames);
                    return self.end(Ending::Refused(refusal));
                }
            }
            self.over = self.first_only;
        }
    }

    #[cold]
    fn finish(&mut self) {
        self.over = true;
        if self.decoder.is_mid_frame() {
            self.end(Ending::Refused(Refusal::Truncated));
            self.decoder.close();
        }
    }

    #[cold]
    fn end(&mut self, ending: Ending) {
        self.ending = Some(Box::new(ending));
        self.over = true;
    }
}
