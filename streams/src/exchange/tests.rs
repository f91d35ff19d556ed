//! Replies in memory.

use futures::TryStreamExt;
use futures::executor::block_on;
use proptest::prelude::*;

use super::*;

/// The payload of the netstring in `pieces`, with a limit of 12 bytes.
fn payload(pieces: &[&[u8]]) -> Result<Vec<u8>, FetchFailure> {
    let wire = stream::iter(pieces.iter().map(|piece| Ok(piece.to_vec())));
    block_on(unwrapped(wire, 12, FetchFailure::bad_poem).try_concat())
}

#[test]
fn s8_a_poem_is_the_same_however_the_network_cuts_it() {
    for (wire, poem) in [
        (&b"0:,"[..], &b""[..]),
        (b"5:Stars,", b"Stars"),
        (b"12:0:,,:Stars:,,and more", b"0:,,:Stars:,"),
    ] {
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(payload(&pieces).as_deref(), Ok(poem), "{pieces:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn s2_unwrapping_agrees_with_the_decoder(
        wire in "[0-3]{0,3}[:x]?[a,]{0,14}[,]?",
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let wire = wire.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        let mut decoder = Decoder::new(12);
        let expected = match decoder.feed(wire).next() {
            Ok(Some(frame)) => Ok(frame.to_vec()),
            Ok(None) if wire.is_empty() => Err(FetchFailure::Refused),
            Ok(None) => Err(FetchFailure::CutShort),
            Err(error) => Err(FetchFailure::bad_poem(error)),
        };
        prop_assert_eq!(payload(&pieces), expected);
    }
}

#[test]
fn s15_a_length_over_the_limit_is_too_long_before_its_colon() {
    assert_eq!(payload(&[b"13"]), Err(FetchFailure::TooLong { limit: 12 }));
}

#[test]
fn l2_a_chunk_is_delivered_before_the_poem_is_complete_and_the_rest_of_the_wire_is_not_read() {
    let endless = stream::iter([Ok(b"9:one".to_vec())]).chain(stream::pending());
    let mut poem = unwrapped(endless, 12, FetchFailure::bad_poem);
    assert_eq!(block_on(poem.next()), Some(Ok(b"one".to_vec())));
    let after = stream::iter([Ok(b"3:one,".to_vec())]).chain(stream::pending());
    assert_eq!(
        block_on(unwrapped(after, 12, FetchFailure::bad_poem).collect::<Vec<_>>()).len(),
        1
    );
}

#[test]
fn l4_an_error_is_the_last_item() {
    let wire = [
        Ok(b"9:one".to_vec()),
        Err(FetchFailure::TimedOut(Timeout::Idle)),
    ];
    let items: Vec<_> =
        block_on(unwrapped(stream::iter(wire), 12, FetchFailure::bad_poem).collect());
    assert_eq!(items[0], Ok(b"one".to_vec()));
    assert_eq!(items[1..], [Err(FetchFailure::TimedOut(Timeout::Idle))]);
}
