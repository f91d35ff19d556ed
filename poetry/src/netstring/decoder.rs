//! The incremental decoder of netstrings.

use serde::{Deserialize, Serialize};

/// The first byte that cannot belong to a valid netstring, and what is wrong with it (S2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("byte {at}: {flaw}")]
pub struct FramingError {
    /// Bytes of the stream before the offending one.
    pub at: u64,
    /// What is wrong with that byte.
    pub flaw: Flaw,
}

/// What is wrong with a byte of a netstring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Flaw {
    /// A byte in the length that is neither a digit nor the colon that ends it.
    #[error("{0:#04x} where a length was expected")]
    NotADigit(u8),
    /// A digit after a leading zero.
    #[error("a length with a leading zero")]
    LeadingZero,
    /// A digit that makes the length exceed the limit, in bytes, even before the colon arrives.
    #[error("a length over the limit of {0} bytes")]
    OverLimit(usize),
    /// A byte other than the closing comma, in its place.
    #[error("{0:#04x} where the closing comma was expected")]
    NotAComma(u8),
}

// ANCHOR: decoder_state
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reading a length: its value so far and its number of digits.
    Length { value: usize, digits: u8 },
    /// Reading a frame of `length` bytes and the comma after it.
    Body { length: usize },
    /// The buffer holds a frame that has been delivered.
    Delivered,
    /// The input was invalid; nothing more is read.
    Failed(FramingError),
    /// The caller has closed the decoder; nothing more is read.
    Closed,
}
// ANCHOR_END: decoder_state

const START: State = State::Length {
    value: 0,
    digits: 0,
};

/// The most digits that [`Frames::whole`] reads; a length of this many digits cannot overflow.
const DIGITS_AT_ONCE: usize = 8;

/// An incremental decoder of netstrings.
///
/// Feed it the bytes read, then take frames until it returns `None` (*more bytes, please*). The frames and the error do
/// not depend on how the input is cut.
///
/// ```
/// use poetry::netstring::Decoder;
///
/// let mut decoder = Decoder::new(99_999);
/// let mut frames = decoder.feed(b"5:hello,3:wo");
/// assert_eq!(frames.next(), Ok(Some(&b"hello"[..])));
/// assert_eq!(frames.next(), Ok(None));
/// drop(frames);
/// assert_eq!(decoder.feed(b"w,").next(), Ok(Some(&b"wow"[..])));
/// ```
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    consumed: u64,
    state: State,
    pub(super) buffer: Vec<u8>,
}

impl Decoder {
    /// Creates a decoder for frames of up to `limit` bytes. It allocates nothing until a frame arrives in pieces.
    pub const fn new(limit: usize) -> Self {
        Self::at(limit, 0)
    }

    /// Creates a decoder that begins at byte `position` of its stream; the places of errors count from the stream's start.
    pub const fn at(limit: usize, position: u64) -> Self {
        Self {
            limit,
            consumed: position,
            state: START,
            buffer: Vec::new(),
        }
    }

    /// Returns the number of bytes of the stream consumed so far.
    pub const fn position(&self) -> u64 {
        self.consumed
    }

    /// Lends the frames that `input` completes, one at a time.
    ///
    /// Input that is not consumed when the returned value is dropped ([`Frames::rest`]) is not kept: the caller feeds it
    /// again.
    pub fn feed<'d, 'i>(&'d mut self, input: &'i [u8]) -> Frames<'d, 'i> {
        Frames {
            decoder: self,
            rest: input,
        }
    }

    /// Returns whether a frame has begun and not ended, that is, whether a request is in flight (S18, S21).
    pub fn is_mid_frame(&self) -> bool {
        match self.state {
            State::Length { digits, .. } => digits > 0,
            State::Body { .. } => true,
            State::Delivered | State::Failed(_) | State::Closed => false,
        }
    }

    /// Returns the number of bytes held of an incomplete frame; never more than were fed.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Stops the decoder for good and frees the memory of a half-read frame.
    pub fn close(&mut self) {
        self.stop(State::Closed);
    }

    fn stop(&mut self, state: State) {
        self.state = state;
        self.buffer = Vec::new();
    }

    fn fail(&mut self, flaw: Flaw) -> FramingError {
        let error = FramingError {
            at: self.consumed,
            flaw,
        };
        self.stop(State::Failed(error));
        error
    }
}

/// The frames in one piece of input; made by [`Decoder::feed`].
#[derive(Debug)]
pub struct Frames<'d, 'i> {
    decoder: &'d mut Decoder,
    rest: &'i [u8],
}

impl<'i> Frames<'_, 'i> {
    /// Returns the next complete frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// Fails at the first byte that cannot belong to a valid netstring, and with the same error at every later call.
    #[allow(clippy::should_implement_trait)] // A lending iterator: a frame may lie in the decoder's buffer.
    #[inline]
    pub fn next(&mut self) -> Result<Option<&[u8]>, FramingError> {
        if let State::Length { digits: 0, .. } = self.decoder.state {
            if self.rest.is_empty() {
                return Ok(None);
            }
            if let Some(frame) = self.whole() {
                return Ok(Some(frame));
            }
        }
        self.next_in_pieces()
    }

    /// Finds the next complete frame, reading its length a byte at a time.
    fn next_in_pieces(&mut self) -> Result<Option<&[u8]>, FramingError> {
        loop {
            match self.decoder.state {
                State::Length { value, digits } => match self.length(value, digits)? {
                    Some(length) => self.decoder.state = State::Body { length },
                    None => return Ok(None),
                },
                State::Body { length }
                    if self.decoder.buffer.is_empty() && self.rest.len() > length =>
                {
                    return self.lent(length).map(Some);
                }
                State::Body { length } => return self.gathered(length),
                State::Delivered => self.decoder.stop(START),
                State::Failed(error) => return Err(error),
                State::Closed => {
                    self.rest = &[];
                    return Ok(None);
                }
            }
        }
    }

    /// Returns the input that has not been consumed yet.
    pub fn rest(&self) -> &'i [u8] {
        self.rest
    }

    /// Reads the digits and the colon after them.
    #[inline]
    fn length(&mut self, mut value: usize, mut digits: u8) -> Result<Option<usize>, FramingError> {
        while let Some((&byte, rest)) = self.rest.split_first() {
            match byte {
                b':' if digits > 0 => {
                    self.advance(rest, 1);
                    return Ok(Some(value));
                }
                b'0'..=b'9' if digits > 0 && value == 0 => {
                    return Err(self.decoder.fail(Flaw::LeadingZero));
                }
                b'0'..=b'9' => {
                    // Checked at every digit, so that an excessive length is refused before its colon arrives.
                    let limit = self.decoder.limit;
                    let longer = value
                        .checked_mul(10)
                        .and_then(|tens| tens.checked_add(usize::from(byte - b'0')));
                    value = match longer {
                        Some(longer) if longer <= limit => longer,
                        _ => return Err(self.decoder.fail(Flaw::OverLimit(limit))),
                    };
                    digits = digits.saturating_add(1);
                    self.advance(rest, 1);
                }
                other => return Err(self.decoder.fail(Flaw::NotADigit(other))),
            }
        }
        self.decoder.state = State::Length { value, digits };
        Ok(None)
    }

    /// Returns the frame at the beginning of the input if it is complete and valid. Otherwise changes nothing, and
    /// [`Frames::next_in_pieces`] decides.
    #[inline]
    fn whole(&mut self) -> Option<&'i [u8]> {
        let mut length = 0;
        for (at, &byte) in self.rest.iter().enumerate().take(DIGITS_AT_ONCE + 1) {
            match byte {
                b'0'..=b'9' if at == 0 || length > 0 => {
                    length = length * 10 + usize::from(byte - b'0');
                }
                b':' if at > 0 && length <= self.decoder.limit => {
                    let body = &self.rest[at + 1..];
                    let (frame, after) = body.split_at_checked(length)?;
                    let (_comma, rest) = after.split_first().filter(|(byte, _)| **byte == b',')?;
                    self.advance(rest, (at + length + 2) as u64);
                    return Some(frame);
                }
                _ => return None,
            }
        }
        None
    }

    /// Lends a frame that lies in the input together with its comma.
    #[inline]
    fn lent(&mut self, length: usize) -> Result<&'i [u8], FramingError> {
        let (frame, rest) = self.rest.split_at(length);
        self.advance(rest, length as u64);
        self.comma()?;
        self.decoder.state = START;
        Ok(frame)
    }

    /// Gathers the available part of a frame that the network has cut.
    fn gathered(&mut self, length: usize) -> Result<Option<&[u8]>, FramingError> {
        let missing = (length - self.decoder.buffer.len()).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(missing);
        self.decoder.buffer.extend_from_slice(piece);
        self.advance(rest, missing as u64);
        if self.decoder.buffer.len() < length || self.rest.is_empty() {
            return Ok(None);
        }
        self.comma()?;
        self.decoder.state = State::Delivered;
        Ok(Some(&self.decoder.buffer))
    }

    #[inline]
    fn comma(&mut self) -> Result<(), FramingError> {
        match self.rest.split_first() {
            Some((b',', rest)) => {
                self.advance(rest, 1);
                Ok(())
            }
            Some((&other, _)) => Err(self.decoder.fail(Flaw::NotAComma(other))),
            None => unreachable!("called only when a byte is available"),
        }
    }

    #[inline]
    fn advance(&mut self, rest: &'i [u8], bytes: u64) {
        self.rest = rest;
        self.decoder.consumed += bytes;
    }
}

/// Frees the memory of a frame that was gathered and delivered.
impl Drop for Frames<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.decoder.state == State::Delivered {
            self.decoder.stop(START);
        }
    }
}
