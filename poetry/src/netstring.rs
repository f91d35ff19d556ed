//! Netstrings (S2): `LEN ":" BYTES ","`, decoded as the bytes arrive and encoded into a caller's buffer.
//!
//! A frame that arrived whole is lent out of the caller's own read buffer: nothing is copied. Only a frame
//! that the network has cut is gathered here, and its memory is given back once it has been delivered.

use serde::{Deserialize, Serialize};

/// The first byte that cannot belong to a valid netstring, and why (S2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("byte {at}: {flaw}")]
pub struct FramingError {
    /// How many bytes of the stream came before the offending one.
    pub at: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What can be wrong with a byte of a netstring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Flaw {
    /// A byte in the length that is neither a digit nor the colon that ends it.
    #[error("{0:#04x} where a length was expected")]
    NotADigit(u8),
    /// A digit after a leading zero.
    #[error("a length with a leading zero")]
    LeadingZero,
    /// A digit that makes the length exceed the limit, in bytes; the colon need not have come.
    #[error("a length over the limit of {0} bytes")]
    OverLimit(usize),
    /// Another byte where the closing comma must be.
    #[error("{0:#04x} where the closing comma was expected")]
    NotAComma(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reading a length: its value so far, and how many of its digits have come.
    Length {
        value: usize,
        digits: u8,
    },
    /// Reading a frame of `length` bytes and the comma behind it.
    Body {
        length: usize,
    },
    /// The buffer holds a frame that has been delivered.
    Delivered,
    /// Nothing more will be read.
    Failed(FramingError),
    Closed,
}

const START: State = State::Length {
    value: 0,
    digits: 0,
};

/// A length of so many digits is read at once where it has come whole; none of them overflows.
const DIGITS_AT_ONCE: usize = 8;

/// An incremental decoder of netstrings.
///
/// Feed it what was read, take frames until it answers `None` (*more bytes, please*). However the input is cut,
/// the frames and the error are the same.
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
    buffer: Vec<u8>,
}

impl Decoder {
    /// A decoder that accepts frames of up to `limit` bytes. It owns no memory until a frame arrives in pieces.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            consumed: 0,
            state: START,
            buffer: Vec::new(),
        }
    }

    /// Lends the frames that `input` completes, one at a time.
    ///
    /// What the returned value has not consumed when it is dropped ([`Frames::rest`]) stays the caller's to feed
    /// again.
    pub fn feed<'d, 'i>(&'d mut self, input: &'i [u8]) -> Frames<'d, 'i> {
        Frames {
            decoder: self,
            rest: input,
        }
    }

    /// Whether a frame has begun and not ended: a request in flight (S18, S21).
    pub fn is_mid_frame(&self) -> bool {
        match self.state {
            State::Length { digits, .. } => digits > 0,
            State::Body { .. } => true,
            State::Delivered | State::Failed(_) | State::Closed => false,
        }
    }

    /// Bytes held of a frame that has not been completed; never more than have been fed.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Delivers nothing more, and gives back the memory of a half-read frame.
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
    /// The next complete frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// At the first byte that cannot belong to a valid netstring; the same error again at every later call.
    #[allow(clippy::should_implement_trait)] // It lends: a frame may lie in the decoder's own buffer.
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

    /// The next complete frame, a byte of its length at a time.
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

    /// What has not been consumed yet.
    pub fn rest(&self) -> &'i [u8] {
        self.rest
    }

    /// Reads digits up to and with the colon.
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
                    // Checked at every digit, so that a long length is refused before its colon has come.
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

    /// The frame that the input begins with, if all of it has come and nothing is wrong with it. Otherwise nothing
    /// has happened, and the way in pieces finds out what is to be done.
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
                    let (frame, behind) = body.split_at_checked(length)?;
                    let (_comma, rest) = behind.split_first().filter(|(byte, _)| **byte == b',')?;
                    self.advance(rest, (at + length + 2) as u64);
                    return Some(frame);
                }
                _ => return None,
            }
        }
        None
    }

    /// The frame and its comma lie in the input: lend it from there.
    #[inline]
    fn lent(&mut self, length: usize) -> Result<&'i [u8], FramingError> {
        let (frame, rest) = self.rest.split_at(length);
        self.advance(rest, length as u64);
        self.comma()?;
        self.decoder.state = START;
        Ok(frame)
    }

    /// The frame has been cut: gather what there is of it.
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
            None => unreachable!("called only when a byte is there"),
        }
    }

    #[inline]
    fn advance(&mut self, rest: &'i [u8], bytes: u64) {
        self.rest = rest;
        self.decoder.consumed += bytes;
    }
}

/// A delivered frame's memory goes back with the input that completed it.
impl Drop for Frames<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.decoder.state == State::Delivered {
            self.decoder.stop(START);
        }
    }
}

/// Appends `payload` to `out` as one netstring.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded_len(payload.len()));
    push_length(payload.len(), out);
    out.extend_from_slice(payload);
    out.push(b',');
}

/// Appends to `out`, as one netstring, whatever `write` appends. `expected` is the payload's likely length in
/// bytes: where it has as many digits as the true one, the payload is written in its final place.
///
/// # Errors
/// Those of `write`; `out` is then as it was before. So it is when `write` panics.
pub fn encode_with<E>(
    out: &mut Vec<u8>,
    expected: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.reserve(expected.saturating_add(AROUND_BYTES_MAX));
    let mut draft = Draft {
        start: out.len(),
        out,
    };
    push_length(expected, draft.out);
    let body = draft.out.len();
    write(draft.out)?;
    let length = draft.out.len() - body;
    if length != expected {
        draft.correct_length(body, length);
    }
    draft.out.push(b',');
    std::mem::forget(draft);
    Ok(())
}

/// The most that stands around a payload: the digits of its length, colon and comma.
const AROUND_BYTES_MAX: usize = DIGITS_MAX + 2;
/// Digits of a 64-bit length.
const DIGITS_MAX: usize = 20;

/// A netstring being written: takes itself back unless it is forgotten.
struct Draft<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl Draft<'_> {
    /// The payload came out longer or shorter than expected: write its true length before it.
    #[cold]
    fn correct_length(&mut self, body: usize, length: usize) {
        let mut header = Vec::new();
        push_length(length, &mut header);
        self.out.splice(self.start..body, header);
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// How many bytes a payload of `length` bytes takes on the wire.
///
/// ```
/// assert_eq!(poetry::netstring::encoded_len(5), b"5:hello,".len());
/// ```
pub const fn encoded_len(length: usize) -> usize {
    let mut digits = 1;
    let mut left = length;
    while left >= 10 {
        left /= 10;
        digits += 1;
    }
    digits + 1 + length + 1
}

/// Appends `LEN ":"`.
#[inline]
fn push_length(length: usize, out: &mut Vec<u8>) {
    let mut text = [0; DIGITS_MAX + 1];
    let mut at = DIGITS_MAX;
    text[at] = b':';
    let mut left = length;
    loop {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests;
