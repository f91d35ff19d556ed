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
            frames: self,
            answer,
            ending: None,
            over: false,
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
    frames: Frames<R>,
    answer: A,
    /// The error behind a batch that must be delivered first.
    ending: Option<Box<Ending>>,
    over: bool,
}

impl<R, A> Answers<R, A> {
    /// Whether a request has begun and not ended (S18, S21).
    #[inline]
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.frames.decoder.is_mid_frame()
    }
}

impl<R, A> Stream for Answers<R, A>
where
    R: AsyncRead + Unpin,
    A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal> + Unpin,
{
    type Item = Result<Batch, Ending>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(ending) = this.ending.take() {
                this.over = true;
                return Poll::Ready(Some(Err(*ending)));
            }
            if this.over {
                return Poll::Ready(None);
            }
            let Frames {
                source,
                decoder,
                first_only,
            } = &mut this.frames;
            let read = buffer::poll_read_with(source, cx, |bytes| {
                let mut answered = Answered::default();
                answered.read(bytes, decoder, *first_only, &mut this.answer);
                answered
            });
            let answered = ready!(read)?;
            this.ending = answered.ending;
            this.over = answered.over;
            if answered.batch.replies > 0 {
                return Poll::Ready(Some(Ok(answered.batch)));
            }
            buffer::give_spare(answered.batch.bytes);
        }
    }
}

/// What came of one read.
#[derive(Debug, Default)]
struct Answered {
    batch: Batch,
    ending: Option<Box<Ending>>,
    over: bool,
}

impl Answered {
    /// Answers the frames that `bytes` complete; no bytes are the end of the source.
    #[inline]
    fn read<A>(&mut self, bytes: &[u8], decoder: &mut Decoder, first_only: bool, answer: &mut A)
    where
        A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal>,
    {
        if bytes.is_empty() {
            self.over = true;
            if decoder.is_mid_frame() {
                self.end(Ending::Refused(Refusal::Truncated));
                decoder.close();
            }
            return;
        }
        self.batch.bytes = buffer::take_spare();
        let mut frames = decoder.feed(bytes);
        while !self.over {
            match frames.next() {
                Ok(Some(frame)) => self.answer(frame, answer),
                Ok(None) => return,
                Err(error) => self.end(Ending::Refused(error.into())),
            }
            self.over |= first_only;
        }
        drop(frames);
        decoder.close();
    }

    #[inline]
    fn answer<A>(&mut self, frame: &[u8], answer: &mut A)
    where
        A: FnMut(&[u8], &mut Vec<u8>) -> Result<(), Refusal>,
    {
        match panics::contain(|| answer(frame, &mut self.batch.bytes)) {
            Ok(Ok(())) => self.batch.replies += 1,
            Ok(Err(refusal)) => self.end(Ending::Refused(refusal)),
            Err(message) => self.end(Ending::Panicked(message)),
        }
    }

    #[cold]
    fn end(&mut self, ending: Ending) {
        self.ending = Some(Box::new(ending));
        self.over = true;
    }
}
