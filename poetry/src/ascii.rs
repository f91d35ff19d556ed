//! Changes the case of ASCII text in place, in one pass that also finds out whether the text is ASCII.

/// Changes `text` to lower case and returns whether all of it is ASCII. If not, `text` is left half changed.
pub(crate) fn make_lowercase(text: &mut [u8]) -> bool {
    change_case(text, |byte| byte.to_ascii_lowercase())
}

/// Changes `text` to upper case and returns whether all of it is ASCII. If not, `text` is left half changed.
pub(crate) fn make_uppercase(text: &mut [u8]) -> bool {
    change_case(text, |byte| byte.to_ascii_uppercase())
}

/// Works in blocks of a fixed size, which the compiler turns into vector instructions.
fn change_case(text: &mut [u8], change: impl Fn(u8) -> u8) -> bool {
    const BLOCK: usize = 32;
    let mut seen = [0; BLOCK];
    let mut change_block = |bytes: &mut [u8]| {
        for (byte, seen) in bytes.iter_mut().zip(&mut seen) {
            *seen |= *byte;
            *byte = change(*byte);
        }
    };
    for block in text.as_chunks_mut::<BLOCK>().0 {
        change_block(block);
    }
    // The rest is changed as a whole block that overlaps the previous one: changing a byte twice is harmless.
    match text.last_chunk_mut::<BLOCK>() {
        Some(last) => change_block(last),
        None => change_block(text),
    }
    seen.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library_at_every_length() {
        let text: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(7) & 127).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            let (mut lower, mut upper) = (text.to_vec(), text.to_vec());
            assert!(make_lowercase(&mut lower) && make_uppercase(&mut upper));
            assert_eq!(lower, text.to_ascii_lowercase());
            assert_eq!(upper, text.to_ascii_uppercase());
        }
    }

    #[test]
    fn finds_one_byte_that_is_not_ascii_at_every_place() {
        for length in 1..100 {
            for at in 0..length {
                let mut text = vec![b'A'; length];
                text[at] = 0x80;
                assert!(!make_lowercase(&mut text), "{at} of {length}");
            }
        }
    }
}
