//! Connections of a library in memory, on a test clock.

use std::time::Duration;

use poetry::{Library, Limits};
use proptest::prelude::*;

use super::*;
use crate::testing::Connected;

const SECOND: Duration = Duration::from_secs(1);

fn library(poems: &[(&str, &str)]) -> Library {
    let framed = |text: &str| poetry::FramedPoem::from(&text.into());
    let entry = |&(name, text): &(&str, &str)| (name.parse().unwrap(), framed(text));
    Library::new(poems.iter().map(entry).collect())
}

fn stars() -> Library {
    library(&[("a", "Stars"), ("b", "fall"), ("ü", "ü"), ("none", "")])
}

fn service(library: Library, keep_alive: bool) -> Arc<LibraryService> {
    Arc::new(LibraryService {
        library,
        keep_alive,
    })
}

fn connected(keep_alive: bool, window: usize) -> Connected {
    Connected::new(service(stars(), keep_alive), Limits::default(), window)
}

#[test]
fn s8_one_shot_answers_the_first_name_and_lingers() {
    let it = connected(false, usize::MAX);
    it.peer.send(b"1:a,1:b,");
    it.clock.settle();
    assert_eq!(it.peer.received(), b"5:Stars,");
    assert_eq!((it.peer.ended(), it.counts().requests), ((true, false), 1));
    it.peer.finish();
    it.clock.settle();
    assert_eq!((it.counts().closed.done, it.counts().answered), (1, 1));
}

#[test]
fn s8_keep_alive_answers_names_in_order_and_after_a_half_close() {
    let it = connected(true, usize::MAX);
    it.peer.send("1:a,4:none,2:ü,1:b,".as_bytes());
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), "5:Stars,0:,2:ü,4:fall,".as_bytes());
    let counts = it.counts();
    assert_eq!(
        (counts.closed.done, counts.answered, counts.bytes_out),
        (1, 4, 23)
    );
}

#[test]
fn s8_names_that_are_refused_have_no_reply_and_the_names_before_them_have_theirs() {
    type Count = fn(&poetry::Counts) -> u64;
    let refused: [(&str, Count); 5] = [
        ("1:c,", |counts| counts.refused.unknown_poem),
        ("4:../a,", |counts| counts.refused.bad_poem_name),
        ("0:,", |counts| counts.refused.bad_poem_name),
        ("01:a,", |counts| counts.refused.framing),
        ("9:", |counts| counts.refused.truncated),
    ];
    for (request, count) in refused {
        let it = connected(true, usize::MAX);
        it.peer.send(b"1:a,");
        it.peer.send(request.as_bytes());
        it.peer.send(b"1:b,");
        it.peer.finish();
        it.clock.settle();
        let counts = it.counts();
        assert_eq!(it.peer.received(), b"5:Stars,", "{request}");
        assert_eq!((count(&counts), counts.closed.refused), (1, 1), "{request}");
        assert_eq!((counts.answered, counts.failed), (1, 0), "{request}");
    }
}

#[test]
fn s4_a_poem_over_the_frame_limit_is_refused() {
    let limits = Limits {
        frame_bytes_max: 4,
        ..Limits::default()
    };
    let it = Connected::new(service(stars(), true), limits, usize::MAX);
    it.peer.send(b"1:b,1:a,");
    it.clock.settle();
    assert_eq!(it.peer.received(), b"4:fall,");
    assert_eq!(it.counts().refused.reply_too_long, 1);
}

#[test]
fn s8_a_reply_under_way_stays_whole_when_the_poems_are_replaced() {
    let library = stars();
    let it = Connected::new(service(library.clone(), true), Limits::default(), 3);
    it.peer.send(b"1:a,1:b,");
    it.clock.settle();
    library.replace(super::tests::library(&[("a", "Moon")]).poems());
    it.peer.send(b"1:a,1:b,");
    it.peer.take(1_000);
    it.clock.settle();
    assert_eq!(it.peer.received(), b"5:Stars,4:fall,4:Moon,");
    assert_eq!(
        (it.counts().answered, it.counts().refused.unknown_poem),
        (3, 1)
    );
}

#[test]
fn s5_nothing_is_read_while_a_poem_waits() {
    let it = connected(true, 0);
    it.peer.send(b"1:a,");
    it.clock.settle();
    it.peer.send(b"1:b,");
    it.clock.settle();
    assert_eq!((it.peer.unread(), it.counts().bytes_in), (4, 4));
    it.peer.take(1_000);
    it.clock.settle();
    assert_eq!(it.peer.received(), b"5:Stars,4:fall,");
    assert_eq!((it.peer.unread(), it.counts().answered), (0, 2));
}

#[test]
fn s18_a_slow_but_steady_reader_is_not_closed_and_one_that_reads_nothing_is_reset() {
    let it = connected(true, 0);
    it.peer.send(b"1:a,1:b,");
    for taken in [1, 8, 9] {
        it.clock.advance(29 * SECOND);
        let more = taken - it.peer.received().len();
        it.peer.take_unannounced(more);
        it.clock.advance(SECOND);
        assert_eq!(it.peer.received(), b"5:Stars,4:fall,"[..taken]);
        assert_eq!(it.counts().open, 1);
    }
    assert_eq!((it.counts().answered, it.counts().in_flight), (1, 1));
    it.clock.advance(30 * SECOND);
    let counts = it.counts();
    assert_eq!((counts.closed.write, counts.failed), (1, 1));
    assert!(it.peer.was_reset());
}

#[test]
fn s18_an_idle_connection_and_one_with_a_late_request_are_closed_without_a_reset() {
    for request in ["", "1"] {
        let it = connected(true, usize::MAX);
        it.peer.send(request.as_bytes());
        it.clock.advance(60 * SECOND);
        let counts = it.counts();
        assert_eq!(counts.closed.idle + counts.closed.deadline, 1);
        assert!(!it.peer.was_reset());
    }
}

#[test]
fn s21_a_kill_resets_what_is_in_flight_and_closes_what_lingers() {
    // A name partly read, a poem partly sent, a lingering close, and nothing in flight.
    for (keep_alive, window, request, reset) in [
        (true, usize::MAX, "1:", true),
        (true, 3, "1:a,", true),
        (false, usize::MAX, "1:a,", false),
        (true, usize::MAX, "1:a,", false),
    ] {
        let it = connected(keep_alive, window);
        it.peer.send(request.as_bytes());
        it.clock.settle();
        it.process.kill();
        it.clock.settle();
        assert_eq!(it.counts().closed.cut, 1);
        assert_eq!(it.peer.was_reset(), reset, "{request}");
    }
}

#[test]
fn s20_a_crash_delivers_the_poems_before_it() {
    let it = connected(true, 2);
    it.peer.send(b"1:a,");
    it.clock.settle();
    it.peer.trap(1);
    it.peer.take(1);
    it.clock.settle();
    assert!(it.process.heir().is_some());
    it.peer.take(100);
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"5:Stars,");
    assert_eq!((it.counts().closed.panic, it.counts().answered), (1, 1));
}

#[test]
fn s24_more_names_than_a_turn_allows_are_answered_in_the_next_turns() {
    let it = connected(true, usize::MAX);
    it.peer.send(&b"1:b,".repeat(200));
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"4:fall,".repeat(200));
    assert_eq!((it.counts().answered, it.counts().closed.done), (200, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn s2_the_poems_do_not_depend_on_how_names_and_poems_are_cut(
        cuts in prop::collection::vec(0_usize..20, 0..6),
        window in 0_usize..30,
    ) {
        let requests = "1:a,2:ü,4:none,1:b,".as_bytes();
        let it = connected(true, window);
        it.send_in_pieces(requests, cuts);
        prop_assert_eq!(it.peer.received(), "5:Stars,2:ü,0:,4:fall,".as_bytes().to_vec());
        prop_assert_eq!((it.counts().closed.done, it.counts().answered), (1, 4));
    }
}
