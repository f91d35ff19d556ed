//! When a poem is written and what ends it early, in memory and on virtual time.

use super::*;
use crate::memory::Act::*;
use crate::memory::Happened::*;
use crate::memory::{Peer, ms, serve};
use poetry::{Counts, Limits, Pace};

fn serve_to(peer: &Peer, text: &str, pace: Pace) -> (CloseReason, Counts) {
    let poem = text.into();
    serve(&PoemService { poem, pace }, &Limits::default(), peer)
}

/// Two bytes every 100 ms.
const PACE: Pace = Pace::Slow {
    num_bytes: NonZeroUsize::new(2).unwrap(),
    delay: ms(100),
};

// ANCHOR: chunks_on_time
#[test]
fn s1_chunk_k_is_written_k_delays_after_the_accept_and_fin_one_delay_after_the_last() {
    let peer = Peer::new([(330, Finishes)]);
    let (reason, counts) = serve_to(&peer, "abcde", PACE);
    let wrote = |at, bytes: &str| Wrote(ms(at), bytes.into());
    let chunks = [wrote(0, "ab"), wrote(100, "cd"), wrote(200, "e")];
    assert_eq!(peer.happened()[..3], chunks);
    assert_eq!(peer.happened()[3..], [Finished(ms(300))]);
    assert_eq!((reason, peer.now()), (CloseReason::Done, ms(330)));
    assert_eq!(
        (counts.requests, counts.answered, counts.bytes_out),
        (1, 1, 5)
    );
}
// ANCHOR_END: chunks_on_time

#[test]
fn s1_what_the_client_sends_is_discarded_and_its_fin_does_not_end_the_poem() {
    let sends = |at| (at, Sends(b"get on with it".to_vec()));
    let peer = Peer::new([sends(10), sends(20), sends(150), (160, Finishes)]);
    let (reason, counts) = serve_to(&peer, "abcdef", PACE);
    assert_eq!(
        (peer.received().as_str(), reason),
        ("abcdef", CloseReason::Done)
    );
    assert_eq!((counts.bytes_in, peer.now()), (42, ms(300)));
}

#[test]
fn s1_an_empty_poem_is_a_fin() {
    let peer = Peer::new([(0, Finishes)]);
    let (_, counts) = serve_to(&peer, "", PACE);
    assert_eq!(
        (counts.answered, peer.happened()),
        (1, vec![Finished(ms(0))])
    );
}

#[test]
fn s19_a_reset_ends_the_wait_at_once() {
    let peer = Peer::new([(130, Resets)]);
    let (reason, counts) = serve_to(&peer, "abcdef", PACE);
    assert_eq!((reason, peer.now()), (CloseReason::Reset, ms(130)));
    assert_eq!((counts.answered, counts.failed), (0, 1));
}

#[test]
fn s18_the_write_timeout_closes_a_peer_that_takes_nothing() {
    let peer = Peer::new([]).that_takes(3);
    let (reason, counts) = serve_to(&peer, "abcdef", Pace::Fast);
    assert_eq!(reason, CloseReason::Write);
    assert!(peer.now() >= ms(30_000) && peer.now() < ms(31_000));
    assert_eq!((counts.bytes_out, counts.failed), (3, 1));
    assert_eq!(peer.happened().last(), Some(&Reset(peer.now())));
}

#[test]
fn s18_room_that_the_kernel_did_not_announce_is_found_when_the_write_timeout_is_over() {
    let script = [(29_900, TakesUnannounced(3)), (30_000, Finishes)];
    let peer = Peer::new(script).that_takes(3);
    let (reason, counts) = serve_to(&peer, "abcdef", Pace::Fast);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    assert_eq!(peer.received(), "abcdef");
}

#[test]
fn s1_a_peer_that_takes_nothing_until_its_input_is_read_gets_its_poem() {
    let flood = Sends(vec![b'x'; 300_000]);
    let peer = Peer::new([(0, flood), (600, Takes(6)), (700, Finishes)]).that_takes(0);
    let (reason, counts) = serve_to(&peer, "abcdef", Pace::Fast);
    assert_eq!(
        (peer.received().as_str(), reason),
        ("abcdef", CloseReason::Done)
    );
    assert_eq!(counts.bytes_in, 300_000);
}

#[test]
fn s21_a_poem_goes_on_during_the_grace_and_is_cut_after_it() {
    let peer = Peer::new([(10, ShutdownBegins), (150, GraceIsOver)]);
    let (reason, counts) = serve_to(&peer, "abcdef", PACE);
    assert_eq!(
        (peer.received().as_str(), reason),
        ("abcd", CloseReason::Cut)
    );
    assert_eq!((counts.failed, peer.now()), (1, ms(150)));
    assert_eq!(peer.happened().last(), Some(&Reset(ms(150))));
}
