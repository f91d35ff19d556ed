//! Deadlines, lingering, shutdown and counts, in memory and on virtual time.

use super::*;
use crate::buffers::SMALL_BYTES;
use crate::memory::Act::*;
use crate::memory::{Happened, Peer, ms, sends, serve};
use poetry::{Counts, Limits};

const KEEP_ALIVE: TransformService = TransformService {
    keep_alive: true,
    lab: None,
    offload: false,
};
const ONE_SHOT: TransformService = TransformService {
    keep_alive: false,
    lab: None,
    offload: false,
};
const SHOUT: &[u8] = b"8:shout.ab,";
const REPLY: &str = "2:AB,";

fn keep_alive(peer: &Peer) -> (CloseReason, Counts) {
    serve(&KEEP_ALIVE, &Limits::default(), peer)
}

#[test]
fn s18_the_deadline_closes_a_peer_that_trickles() {
    let trickle = (0..90).map(|second| (5_000 + second * 1_000, sends(b"0")));
    let peer = Peer::new([(5_000, sends(b"90:"))].into_iter().chain(trickle));
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Deadline, ms(35_000)));
    assert_eq!((counts.requests, peer.received().as_str()), (0, ""));
}

#[test]
fn s18_each_request_has_a_deadline_of_its_own() {
    let next_half = |second: u64| (second * 1_000, sends(b",8:shout.ab"));
    let script = [(0, sends(b"8:shout.ab")), next_half(29), next_half(58)];
    let peer = Peer::new(script);
    assert_eq!(keep_alive(&peer).0, CloseReason::Deadline);
    assert_eq!((peer.now(), peer.received().len()), (ms(88_000), 10));
}

#[test]
fn s18_data_refreshes_the_idle_timeout() {
    let peer = Peer::new([(59_000, sends(SHOUT)), (118_000, sends(SHOUT))]);
    assert_eq!(keep_alive(&peer).0, CloseReason::Idle);
    assert_eq!((peer.now(), peer.received().len()), (ms(178_000), 10));
}

#[test]
fn s18_the_write_timeout_closes_a_peer_that_takes_nothing() {
    let peer = Peer::new([(0, sends(SHOUT))]).that_takes(0);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Write, ms(30_000)));
    assert_eq!(peer.happened(), [Happened::Reset(ms(30_000))]);
    assert_eq!((counts.requests, counts.failed), (1, 1));
}

#[test]
fn s18_a_slow_but_steady_reader_is_not_closed() {
    let takes = (1..5).map(|index| (index * 29_000, Takes(3)));
    let peer = Peer::new([(0, sends(&SHOUT.repeat(2)))].into_iter().chain(takes)).that_takes(1);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Idle, 2));
    assert_eq!(peer.received(), REPLY.repeat(2));
}

#[test]
fn s23_replies_taken_whole_are_answered_and_the_others_failed() {
    let peer = Peer::new([(0, sends(&SHOUT.repeat(4))), (1, Resets)]).that_takes(14);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!(reason, CloseReason::Reset);
    assert_eq!((counts.requests, counts.answered, counts.failed), (4, 2, 2));
    assert_eq!(counts.bytes_out, 14);
}

#[test]
fn s6_a_half_closed_peer_gets_every_reply() {
    let peer = Peer::new([(0, sends(&SHOUT.repeat(3))), (0, Finishes)]);
    assert_eq!(keep_alive(&peer).0, CloseReason::Done);
    assert_eq!(peer.received(), REPLY.repeat(3));
}

#[test]
fn s4_a_peer_that_finishes_in_mid_request_is_refused_after_its_replies() {
    let peer = Peer::new([(0, sends(b"8:shout.ab,8:sho")), (0, Finishes)]);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!(
        (reason, counts.refused.truncated),
        (CloseReason::Refused, 1)
    );
    assert_eq!((counts.requests, peer.received().as_str()), (2, REPLY));
}

#[test]
fn s7_a_reply_survives_unread_input() {
    let more = b"8:shout.cd,".repeat(10_000);
    let peer = Peer::new([(0, sends(SHOUT)), (0, sends(&more)), (7, Finishes)]);
    let (reason, counts) = serve(&ONE_SHOT, &Limits::default(), &peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    assert_eq!(counts.bytes_in, (SHOUT.len() + more.len()) as u64);
    let (wrote, finished) = (REPLY.as_bytes().to_vec(), Happened::Finished(ms(0)));
    assert_eq!(peer.happened(), [Happened::Wrote(ms(0), wrote), finished]);
    assert_eq!(peer.now(), ms(7));
}

#[test]
fn s7_lingering_is_bounded_in_time_and_in_bytes() {
    let limits = Limits::default();
    let tick = |index: u64| (index * 100, sends(b"x"));
    let peer = Peer::new(
        [(0, sends(SHOUT))]
            .into_iter()
            .chain((0..).map(tick).take(90)),
    );
    assert_eq!(serve(&ONE_SHOT, &limits, &peer).0, CloseReason::Done);
    assert_eq!(peer.now(), limits.linger_timeout);

    let flood = sends(&vec![b'x'; 3 * limits.linger_bytes_max]);
    let peer = Peer::new([(0, sends(SHOUT)), (0, flood)]);
    let (_, counts) = serve(&ONE_SHOT, &limits, &peer);
    assert!(counts.bytes_in < 2 * limits.linger_bytes_max as u64);
}

#[test]
fn s21_a_request_that_has_begun_is_answered_as_the_last() {
    let script = [
        (0, sends(b"8:sho")),
        (1, ShutdownBegins),
        (2, sends(b"ut.ab,")),
        (3, Finishes),
    ];
    let peer = Peer::new(script);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    assert_eq!(peer.happened().last(), Some(&Happened::Finished(ms(2))));
}

#[test]
fn s21_an_idle_connection_is_closed_at_once() {
    let peer = Peer::new([(0, sends(SHOUT)), (5, ShutdownBegins)]);
    assert_eq!(keep_alive(&peer).0, CloseReason::Done);
    assert_eq!(peer.now(), ms(5));
}

#[test]
fn s21_a_request_that_outlasts_the_grace_is_cut() {
    let peer = Peer::new([(0, sends(b"8:")), (1, ShutdownBegins), (9, GraceIsOver)]);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Cut, ms(9)));
    assert_eq!(counts.refused.truncated, 0);
    assert_eq!(peer.happened(), [Happened::Reset(ms(9))]);
}

#[test]
fn s21_a_connection_that_lingers_when_the_grace_is_over_is_owed_nothing_and_not_reset() {
    let peer = Peer::new([(0, sends(SHOUT)), (1, ShutdownBegins), (9, GraceIsOver)]);
    let (reason, counts) = serve(&ONE_SHOT, &Limits::default(), &peer);
    assert_eq!((reason, peer.now()), (CloseReason::Cut, ms(9)));
    assert_eq!(counts.answered, 1);
    assert_eq!(peer.happened().last(), Some(&Happened::Finished(ms(0))));
}

#[test]
fn a_hundred_ordinary_requests_set_one_timeout() {
    let script = (0..100).map(|index| (index, sends(SHOUT)));
    let peer = Peer::new(script.chain([(100, Finishes)]));
    assert_eq!(keep_alive(&peer).1.answered, 100);
    assert_eq!(peer.timeouts_set(), 1);
}

#[test]
fn a_long_request_is_read_with_a_whole_read_buffer() {
    let poem = "A".repeat(90_000);
    let mut request = Vec::new();
    poetry::request::encode("cummingsify", &poem, &mut request);
    let peer = Peer::new([(0, sends(&request)), (0, Finishes)]);
    assert_eq!(keep_alive(&peer).1.answered, 1);
    assert_eq!(peer.received(), format!("90000:{},", poem.to_lowercase()));
}

/// Returns how many writes the peer took.
fn writes(peer: &Peer) -> usize {
    let happened = peer.happened();
    let wrote = |happened: &&Happened| matches!(happened, Happened::Wrote(..));
    happened.iter().filter(wrote).count()
}

#[test]
fn requests_sent_at_once_are_answered_with_one_write_though_a_small_buffer_does_not_hold_them() {
    let request = sends(&SHOUT.repeat(1_000));
    let peer = Peer::new([(0, request), (5, sends(SHOUT)), (9, Finishes)]);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1_001));
    assert_eq!(counts.bytes_in, 1_001 * SHOUT.len() as u64);
    assert_eq!((writes(&peer), peer.timeouts_set()), (2, 1));
}

#[test]
fn requests_that_just_fill_the_small_buffer_are_answered_at_once() {
    let mut request = Vec::new();
    let poem = "a".repeat(SMALL_BYTES - "1274:shout.,".len());
    poetry::request::encode("shout", &poem, &mut request);
    assert_eq!(request.len(), SMALL_BYTES);
    let peer = Peer::new([(3, sends(&request)), (900, Finishes)]);
    assert_eq!(keep_alive(&peer).1.answered, 1);
    assert!(matches!(&peer.happened()[0], Happened::Wrote(at, _) if *at == ms(3)));
}

#[test]
fn a_reset_behind_requests_that_fill_the_small_buffer_is_a_reset() {
    let mut requests = SHOUT.repeat(SMALL_BYTES);
    requests.truncate(SMALL_BYTES);
    let peer = Peer::new([(0, sends(&requests)), (0, Resets)]);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.refused.truncated), (CloseReason::Reset, 0));
    assert_eq!((counts.answered, counts.in_flight), (0, 0));
}
