//! One poem served in memory, on a test clock.

use std::num::NonZeroUsize;

use poetry::{Limits, Pace};

use super::*;
use crate::testing::Connected;

const SECOND: Duration = Duration::from_secs(1);
const SLOW: Pace = Pace::Slow {
    num_bytes: NonZeroUsize::new(4).unwrap(),
    delay: SECOND,
};

fn connected(pace: Pace, window: usize) -> Connected {
    let service = PoemService {
        poem: "Stars fall".into(),
        pace,
    };
    Connected::new(Poems(service), Limits::default(), window)
}

// ANCHOR: chunks_on_time
#[test]
fn s1_chunk_k_comes_k_delays_after_the_accept_and_fin_one_after_the_last() {
    let it = connected(SLOW, usize::MAX);
    for (received, fin) in [
        ("Star", false),
        ("Stars fa", false),
        ("Stars fall", false),
        ("Stars fall", true),
    ] {
        assert_eq!(it.peer.received(), received.as_bytes());
        assert_eq!(it.peer.ended().0, fin);
        it.clock.advance(SECOND);
    }
}
// ANCHOR_END: chunks_on_time

#[test]
fn s1_lateness_does_not_accumulate() {
    let it = connected(SLOW, 2);
    it.clock.advance(SECOND * 5 / 2);
    assert_eq!(it.peer.received(), b"St");
    it.peer.take(100);
    it.clock.settle();
    assert_eq!(
        (it.peer.received(), it.peer.ended().0),
        (b"Stars fall".to_vec(), false)
    );
    it.clock.advance(SECOND / 2);
    assert!(it.peer.ended().0);
}

#[test]
fn s1_input_is_discarded_and_fin_does_not_end_the_poem() {
    let it = connected(SLOW, usize::MAX);
    it.peer.send(b"louder!");
    it.peer.finish();
    it.clock.advance(2 * SECOND);
    assert_eq!(
        (
            it.peer.received().len(),
            it.counts().bytes_in,
            it.counts().open
        ),
        (10, 7, 1)
    );
    it.clock.advance(SECOND);
    assert_eq!((it.counts().closed.done, it.counts().answered), (1, 1));
}

#[test]
fn s18_a_client_that_reads_nothing_is_closed_by_the_write_timeout() {
    let it = connected(Pace::Fast, 3);
    it.clock.advance(29 * SECOND);
    it.peer.take(3);
    it.clock.advance(29 * SECOND);
    assert_eq!((it.peer.received().len(), it.counts().open), (6, 1));
    it.clock.advance(SECOND);
    assert_eq!((it.counts().closed.write, it.counts().failed), (1, 1));
}

#[test]
fn s18_a_slow_but_steady_reader_is_not_closed() {
    for pace in [Pace::Fast, SLOW] {
        let it = connected(pace, 0);
        // For the slow poem: part of a chunk, exactly the rest of it, then the next and part of the last.
        for taken in [3, 4, 9] {
            it.clock.advance(29 * SECOND);
            let before = it.peer.received().len();
            it.peer.take_unannounced(taken - before);
            it.clock.settle();
            assert_eq!(it.peer.received().len(), before);
            it.clock.advance(SECOND);
            let counts = it.counts();
            assert_eq!(it.peer.received(), b"Stars fall"[..taken]);
            assert_eq!(
                (counts.bytes_out, counts.in_flight, counts.open),
                (taken as u64, 1, 1)
            );
        }
        it.clock.advance(29 * SECOND);
        assert_eq!(it.counts().open, 1);
        it.clock.advance(SECOND);
        let counts = it.counts();
        assert_eq!(
            (counts.closed.write, counts.failed, counts.bytes_out),
            (1, 1, 9)
        );
    }
}

#[test]
fn s18_a_poem_read_slowly_to_its_end_is_answered() {
    for pace in [Pace::Fast, SLOW] {
        let it = connected(pace, 0);
        it.peer.take_unannounced(100);
        it.clock.advance(30 * SECOND);
        assert_eq!(it.peer.received(), b"Stars fall");
        assert_eq!((it.peer.ended(), it.counts().answered), ((true, false), 1));
        it.clock.advance(Limits::default().linger_timeout);
        assert_eq!((it.counts().closed.done, it.counts().failed), (1, 0));
    }
}

#[test]
fn s21_a_poem_that_is_being_sent_is_in_flight() {
    let it = connected(SLOW, usize::MAX);
    it.process.exit(Reason::Shutdown);
    it.peer.finish();
    it.clock.advance(3 * SECOND);
    assert_eq!((it.counts().closed.done, it.counts().answered), (1, 1));
}
