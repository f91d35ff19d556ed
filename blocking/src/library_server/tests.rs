//! Names in, poems out, in memory and on virtual time.

use super::*;
use crate::memory::Act::*;
use crate::memory::{Happened, Peer, ms, sends, serve};
use poetry::counters::Refused;
use poetry::{Counts, Library, Limits, Poem};

const STAR: &[u8] = b"4:star,";
const STARS: &str = "11:Stars fall.,";

fn library(keep_alive: bool) -> LibraryService {
    let framed = |text: &str| FramedPoem::from(&Poem::from(text));
    let poems = [
        ("star".parse().unwrap(), framed("Stars fall.")),
        ("empty".parse().unwrap(), framed("")),
    ];
    LibraryService {
        library: Library::new(poems.into()),
        keep_alive,
    }
}

fn keep_alive(peer: &Peer) -> (CloseReason, Counts) {
    serve(&library(true), &Limits::default(), peer)
}

#[test]
fn s8_a_name_is_answered_with_its_poem_and_one_shot_answers_exactly_one() {
    let peer = Peer::new([(0, sends(&STAR.repeat(3))), (3, Finishes)]);
    let (reason, counts) = serve(&library(false), &Limits::default(), &peer);
    assert_eq!((reason, counts.requests), (CloseReason::Done, 1));
    let wrote = Happened::Wrote(ms(0), STARS.as_bytes().to_vec());
    assert_eq!(peer.happened(), [wrote, Happened::Finished(ms(0))]);
}

#[test]
fn s8_an_empty_poem_is_a_reply_of_three_bytes() {
    let peer = Peer::new([(0, sends(b"5:empty,")), (0, Finishes)]);
    assert_eq!(keep_alive(&peer).1.answered, 1);
    assert_eq!(peer.received(), "0:,");
}

#[test]
fn s6_every_name_of_a_half_closed_peer_is_answered_in_whatever_pieces_it_arrives() {
    let pieces = STAR.repeat(3).into_iter().enumerate();
    let acts = pieces.map(|(at, byte)| (at as u64, Sends(vec![byte])));
    let peer = Peer::new(acts.chain([(30, Finishes)]));
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 3));
    assert_eq!(peer.received(), STARS.repeat(3));
}

#[test]
fn s5_pipelined_names_are_answered_in_order_with_one_write_for_many() {
    let count = 2 * PIECES_AT_ONCE + 1;
    let names = [&STAR.repeat(count - 1)[..], b"5:empty,"].concat();
    let peer = Peer::new([(0, sends(&names)), (1, Finishes)]);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, count as u64));
    assert_eq!(peer.received(), STARS.repeat(count - 1) + "0:,");
    assert_eq!(peer.happened().len(), 3);
}

#[test]
fn s4_each_refusal_closes_after_the_replies_before_it() {
    type Counted = fn(&Refused) -> u64;
    let unknown: Counted = |refused| refused.unknown_poem;
    let bad_name: Counted = |refused| refused.bad_poem_name;
    let framing: Counted = |refused| refused.framing;
    let truncated: Counted = |refused| refused.truncated;
    for (bad, counted) in [
        (&b"4:moon,"[..], unknown),
        (b"4:../u,", bad_name),
        (b"2:\xff\xff,", bad_name),
        (b"0:,", bad_name),
        (b"4:star", truncated),
        (b"04:star,", framing),
        (b"4:star;", framing),
    ] {
        let script = [STAR, bad].concat();
        let peer = Peer::new([(0, sends(&script)), (1, Finishes)]);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!(reason, CloseReason::Refused, "{bad:?}");
        assert_eq!(peer.received(), STARS, "{bad:?}");
        assert_eq!((counts.requests, counts.answered), (2, 1), "{bad:?}");
        assert_eq!(counted(&counts.refused), 1, "{bad:?}: {counts:?}");
    }
}

#[test]
fn s4_a_poem_over_the_frame_limit_is_refused() {
    let limits = Limits {
        frame_bytes_max: 10,
        ..Limits::default()
    };
    let peer = Peer::new([(0, sends(STAR)), (0, Finishes)]);
    let (reason, counts) = serve(&library(true), &limits, &peer);
    assert_eq!(
        (reason, counts.refused.reply_too_long),
        (CloseReason::Refused, 1)
    );
}

#[test]
fn s5_nothing_is_read_while_a_byte_of_a_reply_is_unsent() {
    let takes = (1..4).map(|second| (second * 1_000, Takes(15)));
    let more = [(0, sends(STAR)), (0, sends(STAR)), (3_500, Finishes)];
    let peer = Peer::new([(0, sends(STAR))].into_iter().chain(takes).chain(more)).that_takes(0);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 3));
    let wrote: Vec<_> = peer
        .happened()
        .into_iter()
        .filter_map(|happened| match happened {
            Happened::Wrote(at, bytes) => Some((at, bytes.len())),
            Happened::Finished(_) | Happened::Reset(_) => None,
        })
        .collect();
    assert_eq!(wrote, [(ms(1_000), 15), (ms(2_000), 15), (ms(3_000), 15)]);
}

#[test]
fn s23_replies_taken_whole_are_answered_and_the_others_failed() {
    let peer =
        Peer::new([(0, sends(&STAR.repeat(4))), (1, Resets)]).that_takes(2 * STARS.len() + 1);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!(reason, CloseReason::Reset);
    assert_eq!((counts.requests, counts.answered, counts.failed), (4, 2, 2));
    assert_eq!(counts.bytes_out, 2 * STARS.len() as u64 + 1);
}

#[test]
fn s18_a_slow_but_steady_reader_of_pipelined_replies_is_not_closed() {
    let takes = (1..5).map(|index| (index * 29_000, Takes(10)));
    let peer = Peer::new([(0, sends(&STAR.repeat(3)))].into_iter().chain(takes)).that_takes(5);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Idle, 3));
    assert_eq!(peer.received(), STARS.repeat(3));
}

#[test]
fn s18_a_name_has_a_deadline_and_a_silent_peer_an_idle_timeout() {
    let peer = Peer::new([(0, sends(b"4:st"))]);
    assert_eq!(keep_alive(&peer).0, CloseReason::Deadline);
    assert_eq!(peer.now(), ms(30_000));
    let peer = Peer::new([(0, sends(STAR))]);
    assert_eq!(keep_alive(&peer).0, CloseReason::Idle);
    assert_eq!(peer.now(), ms(60_000));
}

#[test]
fn s21_a_name_that_has_begun_is_answered_as_the_last() {
    let script = [
        (0, sends(b"4:st")),
        (1, ShutdownBegins),
        (2, sends(b"ar,")),
        (3, Finishes),
    ];
    let peer = Peer::new(script);
    let (reason, counts) = keep_alive(&peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    assert_eq!(peer.happened().last(), Some(&Happened::Finished(ms(2))));
}

#[test]
fn s8_poems_that_are_replaced_are_gone_for_the_next_request() {
    let service = library(true);
    let peer = Peer::new([(0, sends(STAR)), (1, Finishes)]);
    assert_eq!(serve(&service, &Limits::default(), &peer).1.answered, 1);
    service.library.replace(Default::default());
    let peer = Peer::new([(0, sends(STAR)), (1, Finishes)]);
    let (_, counts) = serve(&service, &Limits::default(), &peer);
    assert_eq!(counts.refused.unknown_poem, 1);
}
