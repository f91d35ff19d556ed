//! Netstrings (S2): `LEN ":" BYTES ","`, decoded as the bytes arrive and encoded into a caller's buffer.
//!
//! A frame that arrives whole is lent out of the caller's own read buffer, without a copy. Only a frame that the network
//! has cut is gathered in the decoder, which frees that memory once it has delivered the frame.

mod decoder;
mod encoder;

pub use decoder::{Decoder, Flaw, Frames, FramingError};
pub use encoder::{encode, encode_with, encoded_len};

/// The whole netstrings at the beginning of some bytes; returned by [`frames_within`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whole {
    /// How many netstrings.
    pub frames: u64,
    /// The bytes they take on the wire.
    pub bytes: usize,
}

/// Counts the netstrings of `replies` that end within its first `taken` bytes.
///
/// `replies` holds netstrings, one after another, as [`encode`] writes them. A server uses this when the kernel has
/// taken only part of a write: the requests whose replies were taken whole count as answered (S23). The cost is one step
/// for each reply, whatever its length.
///
/// ```
/// use poetry::netstring::{Whole, frames_within};
///
/// assert_eq!(frames_within(b"1:a,2:bc,", 8), Whole { frames: 1, bytes: 4 });
/// assert_eq!(frames_within(b"1:a,2:bc,", 9), Whole { frames: 2, bytes: 9 });
/// ```
#[cold]
pub fn frames_within(replies: &[u8], taken: usize) -> Whole {
    let mut rest = &replies[..taken.min(replies.len())];
    let mut whole = Whole::default();
    while let Some(bytes) = first_frame_len(rest)
        && let Some(after) = rest.get(bytes..)
    {
        whole.frames += 1;
        whole.bytes += bytes;
        rest = after;
    }
    whole
}

/// Returns the bytes that the first netstring of `wire` takes, if `wire` contains its length up to the colon.
fn first_frame_len(wire: &[u8]) -> Option<usize> {
    let digits = wire.split(|&byte| byte == b':').next()?;
    if digits.len() == wire.len() {
        return None;
    }
    let length: usize = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(encoded_len(length))
}

#[cfg(test)]
mod tests;
