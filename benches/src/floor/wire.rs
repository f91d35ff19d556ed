//! Cuts requests out of received bytes, keeping no state but the bytes: the floor's own minimal decoder.

use poetry::limits::FRAME_BYTES_MAX;

/// The result of cutting one frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'i> {
    /// A whole frame, and the bytes after it.
    Frame(&'i [u8], &'i [u8]),
    /// An incomplete frame, or no bytes.
    More,
    /// Not a netstring, or one over the limit (S2).
    Wrong,
}

/// Cuts the first netstring off `input`.
#[inline]
pub(super) fn cut(input: &[u8]) -> Cut<'_> {
    let mut length = 0;
    for (at, &byte) in input.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at == 0 || length > 0 => {
                length = length * 10 + usize::from(byte - b'0');
                if length > FRAME_BYTES_MAX {
                    return Cut::Wrong;
                }
            }
            b':' if at > 0 => return body(&input[at + 1..], length),
            _ => return Cut::Wrong,
        }
    }
    Cut::More
}

#[inline]
fn body(input: &[u8], length: usize) -> Cut<'_> {
    match input.get(length) {
        Some(b',') => Cut::Frame(&input[..length], &input[length + 1..]),
        Some(_) => Cut::Wrong,
        None => Cut::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_a_whole_frame_is_cut_off() {
        assert_eq!(cut(b"3:abc,1:"), Cut::Frame(b"abc", b"1:"));
        assert_eq!(cut(b"0:,"), Cut::Frame(b"", b""));
        assert_eq!(cut(b"12:abcdefghijkl,"), Cut::Frame(b"abcdefghijkl", b""));
    }

    #[test]
    fn s2_an_incomplete_frame_needs_more() {
        for half in ["", "3", "3:", "3:ab", "3:abc", "0:", "99999:"] {
            assert_eq!(cut(half.as_bytes()), Cut::More, "{half}");
        }
    }

    #[test]
    fn s2_malformed_frames_are_wrong() {
        for wrong in [":", "x", "01:", "1x", "100000", "3:abcd", "0:x"] {
            assert_eq!(cut(wrong.as_bytes()), Cut::Wrong, "{wrong}");
        }
    }
}
