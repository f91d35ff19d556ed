//! S2, by example and by property.

use super::*;

fn decode_all(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<FramingError>) {
    decode_cut(&[input], limit)
}

fn decode_cut(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let mut decoder = Decoder::new(limit);
    let mut frames = Vec::new();
    for piece in pieces {
        let mut fed = decoder.feed(piece);
        loop {
            match fed.next() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn flaw(input: &[u8], limit: usize) -> (u64, Flaw) {
    let error = decode_all(input, limit).1.expect("an error");
    (error.at, error.flaw)
}

#[test]
fn s2_the_empty_string_is_a_frame() {
    assert_eq!(decode_all(b"0:,", 9), (vec![vec![]], None));
}

#[test]
fn s2_fails_at_the_first_byte_that_cannot_belong() {
    assert_eq!(flaw(b":", 9), (0, Flaw::NotADigit(b':')));
    assert_eq!(flaw(b"x", 9), (0, Flaw::NotADigit(b'x')));
    assert_eq!(flaw(b"1 :", 9), (1, Flaw::NotADigit(b' ')));
    assert_eq!(flaw(b"00", 9), (1, Flaw::LeadingZero));
    assert_eq!(flaw(b"01", 9), (1, Flaw::LeadingZero));
    assert_eq!(flaw(b"10", 9), (1, Flaw::OverLimit(9)));
    assert_eq!(flaw(b"3:abcd", 9), (5, Flaw::NotAComma(b'd')));
    assert_eq!(flaw(b"1:a,x", 9), (4, Flaw::NotADigit(b'x')));
}

#[test]
fn s2_a_length_that_overflows_is_over_the_limit() {
    assert_eq!(
        flaw(b"18446744073709551616:", usize::MAX),
        (19, Flaw::OverLimit(usize::MAX))
    );
    assert_eq!(flaw(&[b'9'; 40], 99_999), (5, Flaw::OverLimit(99_999)));
}

#[test]
fn s2_a_frame_that_arrives_whole_obeys_the_same_rules() {
    assert_eq!(flaw(b"01:a,", 9), (1, Flaw::LeadingZero));
    assert_eq!(flaw(b"00:,", 9), (1, Flaw::LeadingZero));
    assert_eq!(flaw(b"3:abc,", 2), (0, Flaw::OverLimit(2)));
    assert_eq!(flaw(b"3:abcd,", 9), (5, Flaw::NotAComma(b'd')));
}

#[test]
fn s2_the_limit_itself_is_allowed() {
    assert_eq!(decode_all(b"9:123456789,", 9).1, None);
}

#[test]
fn s2_neither_delivers_nor_buffers_after_an_error() {
    let mut decoder = Decoder::new(9);
    let error = decoder.feed(b"1:ab").next().expect_err("no comma");
    assert_eq!(decoder.feed(b"1:a,").next(), Err(error));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn s2_neither_delivers_nor_buffers_after_a_close() {
    let mut decoder = Decoder::new(9);
    assert_eq!(decoder.feed(b"5:he").next(), Ok(None));
    decoder.close();
    assert_eq!(decoder.feed(b"llo,1:a,").next(), Ok(None));
    assert_eq!((decoder.buffered(), decoder.buffer.capacity()), (0, 0));
}

#[test]
fn s2_an_announced_length_allocates_nothing() {
    let mut decoder = Decoder::new(usize::MAX);
    assert_eq!(decoder.feed(b"999999999999:").next(), Ok(None));
    assert_eq!(decoder.buffer.capacity(), 0);
    assert_eq!(decoder.feed(b"ab").next(), Ok(None));
    assert!(
        decoder.buffer.capacity() <= 16,
        "grew by {}",
        decoder.buffer.capacity()
    );
}

#[test]
fn lends_a_whole_frame_and_frees_the_memory_of_a_gathered_one() {
    let input = b"5:hello,".to_vec();
    let mut decoder = Decoder::new(9);
    let mut frames = decoder.feed(&input);
    let frame = frames.next().unwrap().unwrap();
    assert_eq!(frame.as_ptr(), input[2..].as_ptr());
    drop(frames);

    assert_eq!(decoder.feed(b"5:he").next(), Ok(None));
    assert!(decoder.is_mid_frame());
    assert_eq!(decoder.feed(b"llo,").next(), Ok(Some(&b"hello"[..])));
    assert_eq!(decoder.buffer.capacity(), 0);
    assert!(!decoder.is_mid_frame());
}

#[test]
fn leaves_what_it_has_not_consumed_to_the_caller() {
    let mut decoder = Decoder::new(9);
    let mut frames = decoder.feed(b"1:a,1:b,2:c");
    assert_eq!(frames.next(), Ok(Some(&b"a"[..])));
    assert_eq!(frames.rest(), b"1:b,2:c");
}

#[test]
fn a_failed_or_panicking_write_leaves_the_buffer_unchanged() {
    let mut out = b"before".to_vec();
    let failed = encode_with(&mut out, 3, |out| {
        out.extend_from_slice(b"half");
        Err("no")
    });
    assert_eq!((failed, &out[..]), (Err("no"), &b"before"[..]));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        encode_with::<()>(&mut out, 3, |out| {
            out.push(b'x');
            std::panic::resume_unwind(Box::new("stop"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(out, b"before");
}

#[test]
fn a_wrong_expected_length_gives_the_same_netstring() {
    for expected in [0, 9, 10, 11, 100] {
        let mut out = b"x".to_vec();
        encode_with::<()>(&mut out, expected, |out| {
            out.extend_from_slice(b"0123456789");
            Ok(())
        })
        .unwrap();
        assert_eq!(out, b"x10:0123456789,");
    }
}

#[test]
fn s23_counts_the_replies_that_were_taken_whole() {
    let replies = b"0:,3:a:b,12:twelve bytes,";
    let within = |taken| {
        let Whole { frames, bytes } = frames_within(replies, taken);
        (frames, bytes)
    };
    assert_eq!(within(0), (0, 0));
    assert_eq!(within(2), (0, 0));
    assert_eq!(within(3), (1, 3));
    assert_eq!(within(8), (1, 3));
    assert_eq!(within(9), (2, 9));
    assert_eq!(within(replies.len() - 1), (2, 9));
    assert_eq!(within(replies.len()), (3, replies.len()));
    assert_eq!(within(usize::MAX), (3, replies.len()));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Valid frames, nearly valid ones and noise, mixed.
    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let frame = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|payload| {
            let mut out = Vec::new();
            encode(&payload, &mut out);
            out
        });
        let noise =
            proptest::collection::vec(proptest::sample::select(b"0123456789:,a".to_vec()), 0..12);
        proptest::collection::vec(prop_oneof![4 => frame, 1 => noise], 0..8)
            .prop_map(|parts| parts.concat())
    }

    fn cut<'w>(wire: &'w [u8], cuts: &[proptest::sample::Index]) -> Vec<&'w [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn s2_any_cutting_gives_the_same_frames_and_the_same_error_at_the_same_byte(
            wire in wire(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
            limit in 0_usize..50,
        ) {
            let whole = decode_all(&wire, limit);
            prop_assert_eq!(&decode_cut(&cut(&wire, &cuts), limit), &whole);
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            prop_assert_eq!(&decode_cut(&bytes, limit), &whole);
        }

        #[test]
        fn s2_decode_of_encode_is_the_identity(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
        ) {
            let mut wire = Vec::new();
            for frame in &frames {
                encode(frame, &mut wire);
            }
            prop_assert_eq!(wire.len(), frames.iter().map(|frame| encoded_len(frame.len())).sum::<usize>());
            prop_assert_eq!(decode_all(&wire, 300), (frames, None));
        }

        #[test]
        fn s2_memory_grows_only_with_the_bytes_received(
            announced in 1_usize..99_999,
            received in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut decoder = Decoder::new(99_999);
            decoder.feed(format!("{announced}:").as_bytes()).next().unwrap();
            let received = &received[..received.len().min(announced)];
            decoder.feed(received).next().unwrap();
            prop_assert!(decoder.buffer.capacity() <= 8 + 2 * received.len());
        }
    }
}
