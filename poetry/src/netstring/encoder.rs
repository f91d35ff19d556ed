//! Netstrings written into a caller's buffer.

/// Appends `payload` to `out` as one netstring.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded_len(payload.len()));
    push_length(payload.len(), out);
    out.extend_from_slice(payload);
    out.push(b',');
}

/// Appends to `out`, as one netstring, the payload that `write` appends.
///
/// `expected` is the payload's likely length in bytes. If it is right, the payload is written in its final place; if
/// not, the payload is moved once.
///
/// # Errors
/// Returns the error of `write`. `out` is then unchanged, as it is when `write` panics.
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

/// The most bytes around a payload: the digits of its length, the colon and the comma.
const AROUND_BYTES_MAX: usize = DIGITS_MAX + 2;
/// The digits of the largest 64-bit length.
const DIGITS_MAX: usize = 20;

/// A netstring being written. Dropping it removes it from the buffer, unless it is forgotten.
struct Draft<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl Draft<'_> {
    /// Replaces the expected length by the true one, which moves the payload if the two differ in digits.
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

/// Returns the bytes that a payload of `length` bytes takes on the wire.
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
