//! Connections in memory, on a test clock.

mod turns;

use std::time::Duration;

use poetry::{Clock, Limits};
use proptest::prelude::*;

use super::*;
use crate::monitor::Reason;
use crate::testing::Connected;

const SECOND: Duration = Duration::from_secs(1);

fn connected(keep_alive: bool, window: usize) -> Connected {
    Connected::new(transforms(keep_alive), Limits::default(), window)
}

fn transforms(keep_alive: bool) -> Arc<TransformService> {
    Arc::new(TransformService {
        keep_alive,
        lab: Some(Clock::stopped()),
        offload: false,
    })
}

#[test]
fn s18_a_connection_idles_out_between_requests_and_data_refreshes_the_timeout() {
    let it = connected(true, usize::MAX);
    it.clock.advance(59 * SECOND);
    it.peer.send(b"7:shout.a,");
    it.clock.advance(59 * SECOND);
    assert_eq!(
        (it.peer.received(), it.counts().open),
        (b"1:A,".to_vec(), 1)
    );
    it.clock.advance(SECOND);
    assert_eq!(it.counts().closed.idle, 1);
    assert!(!it.process.is_alive());
}

#[test]
fn s18_a_trickling_request_is_closed_by_its_deadline() {
    let it = connected(true, usize::MAX);
    it.peer.send(b"90:");
    for _ in 0..29 {
        it.clock.advance(SECOND);
        it.peer.send(b"x");
    }
    it.clock.settle();
    assert_eq!(it.counts().open, 1);
    it.clock.advance(SECOND);
    assert_eq!(it.counts().closed.deadline, 1);
}

#[test]
fn s18_a_request_that_came_before_the_idle_timeout_is_answered_by_a_late_thread() {
    for keep_alive in [false, true] {
        let it = connected(keep_alive, usize::MAX);
        it.peer.send_unannounced(b"7:shout.a,");
        it.clock.advance(60 * SECOND);
        assert_eq!(it.peer.received(), b"1:A,");
        assert_eq!(
            (it.peer.ended(), it.counts().open),
            ((!keep_alive, false), 1)
        );
    }
}

#[test]
fn s18_a_late_thread_refreshes_the_idle_timeout_once_for_what_it_finds() {
    let it = connected(true, usize::MAX);
    it.peer.send_unannounced(b"7:shout.a,");
    it.clock.advance(60 * SECOND);
    it.peer.send(b"7:shout.b,");
    it.clock.advance(59 * SECOND);
    assert_eq!((it.counts().answered, it.counts().open), (2, 1));
    it.clock.advance(SECOND);
    assert_eq!((it.counts().closed.idle, it.counts().failed), (1, 0));
}

#[test]
fn s18_a_late_thread_answers_a_request_that_is_complete_at_its_deadline_and_no_other() {
    let complete = connected(true, usize::MAX);
    complete.peer.send(b"7:sho");
    complete.clock.settle();
    complete.peer.send_unannounced(b"ut.a,7:shout.b,7:s");
    complete.clock.advance(30 * SECOND);
    assert_eq!(complete.peer.received(), b"1:A,1:B,");
    assert_eq!(complete.counts().open, 1);
    complete.clock.advance(30 * SECOND);
    assert_eq!(complete.counts().closed.deadline, 1);

    let incomplete = connected(true, usize::MAX);
    incomplete.peer.send(b"7:sho");
    incomplete.clock.settle();
    incomplete.peer.send_unannounced(b"ut.");
    incomplete.clock.advance(30 * SECOND);
    assert_eq!(incomplete.counts().closed.deadline, 1);
}

#[test]
fn s18_a_request_longer_than_a_turn_reads_does_not_hold_off_its_deadline() {
    let limits = Limits {
        frame_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let it = Connected::new(transforms(true), limits, usize::MAX);
    it.peer.send(b"50000000:");
    it.clock.settle();
    it.peer.send_unannounced(&vec![b'x'; 2 << 20]);
    it.clock.advance(30 * SECOND);
    assert_eq!(it.counts().closed.deadline, 1);
    assert!(it.peer.unread() > 0);
}

#[test]
fn s18_a_deadline_of_the_longest_duration_never_passes() {
    let limits = Limits {
        request_deadline: Duration::MAX,
        ..Limits::default()
    };
    let it = Connected::new(transforms(true), limits, usize::MAX);
    it.clock.advance(SECOND);
    it.peer.send(b"7:sho");
    it.clock.advance(3_600 * SECOND);
    it.peer.send(b"ut.a,");
    it.clock.settle();
    assert_eq!(
        (it.peer.received(), it.counts().failed),
        (b"1:A,".to_vec(), 0)
    );
}

#[test]
fn s18_a_peer_that_reads_nothing_is_closed_and_each_byte_read_refreshes_the_timeout() {
    let it = connected(true, 0);
    it.peer.send(b"7:shout.a,");
    it.clock.advance(29 * SECOND);
    it.peer.take(1);
    it.clock.advance(29 * SECOND);
    assert_eq!(
        (it.peer.received(), it.counts().in_flight),
        (b"1".to_vec(), 1)
    );
    it.clock.advance(SECOND);
    let counts = it.counts();
    assert_eq!(
        (counts.closed.write, counts.failed, counts.bytes_out),
        (1, 1, 1)
    );
}

#[test]
fn s18_a_slow_but_steady_reader_is_not_closed() {
    for keep_alive in [false, true] {
        let it = connected(keep_alive, 0);
        it.peer.send(b"11:shout.abcde,");
        for taken in 1..=3 {
            it.clock.advance(29 * SECOND);
            it.peer.take_unannounced(1);
            it.clock.settle();
            assert_eq!(it.peer.received().len(), taken - 1);
            it.clock.advance(SECOND);
            let counts = it.counts();
            assert_eq!(it.peer.received(), b"5:ABCDE,"[..taken]);
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
            (1, 1, 3)
        );
    }
}

#[test]
fn s18_replies_read_slowly_are_answered_and_the_next_request_is_read() {
    let it = connected(true, 0);
    it.peer.send(b"7:shout.a,7:shout.b,");
    it.clock.settle();
    it.peer.send(b"7:shout.c,");
    it.peer.take_unannounced(5);
    it.clock.advance(30 * SECOND);
    assert_eq!((it.counts().answered, it.counts().in_flight), (1, 1));
    it.peer.take_unannounced(3);
    it.clock.advance(30 * SECOND);
    assert_eq!(
        (it.peer.received(), it.peer.unread()),
        (b"1:A,1:B,".to_vec(), 0)
    );
    assert_eq!((it.counts().answered, it.counts().in_flight), (2, 1));
    it.peer.take(4);
    it.clock.settle();
    assert_eq!((it.counts().answered, it.counts().bytes_out), (3, 12));
    it.clock.advance(59 * SECOND);
    assert_eq!(it.counts().open, 1);
    it.clock.advance(SECOND);
    assert_eq!((it.counts().closed.idle, it.counts().failed), (1, 0));
}

#[test]
fn s18_room_left_from_before_is_not_progress() {
    let it = connected(true, 0);
    it.peer.send(b"7:shout.a,");
    it.clock.settle();
    it.peer.take_unannounced(9);
    for _ in 0..2 {
        it.peer.send(b"7:shout.b,");
        it.clock.settle();
    }
    it.clock.advance(30 * SECOND);
    assert_eq!(it.peer.received(), b"1:A,1:B,1");
    it.clock.advance(30 * SECOND);
    assert_eq!((it.counts().closed.write, it.counts().failed), (1, 1));
}

#[test]
fn s18_one_shot_and_draining_connections_linger_after_a_reply_read_slowly() {
    for keep_alive in [false, true] {
        let it = connected(keep_alive, 0);
        it.peer.send(b"7:shout.a,");
        it.clock.settle();
        if keep_alive {
            it.process.exit(Reason::shutdown_with("upgrade"));
        }
        it.peer.take_unannounced(100);
        it.clock.advance(30 * SECOND);
        assert_eq!((it.peer.ended(), it.counts().answered), ((true, false), 1));
        it.clock.advance(Limits::default().linger_timeout);
        assert_eq!(
            (it.peer.ended(), it.counts().closed.done),
            ((true, true), 1)
        );
    }
}

#[test]
fn s5_nothing_is_read_while_a_reply_waits() {
    let it = connected(true, 0);
    it.peer.send(b"7:shout.a,");
    it.clock.settle();
    it.peer.send(b"7:shout.b,");
    it.clock.settle();
    assert_eq!((it.peer.unread(), it.counts().bytes_in), (10, 10));
    it.peer.take(usize::MAX / 2);
    it.clock.settle();
    assert_eq!(
        (it.peer.unread(), it.peer.received()),
        (0, b"1:A,1:B,".to_vec())
    );
    assert_eq!(it.counts().answered, 2);
}

#[test]
fn s7_a_lingering_close_drains_for_a_bounded_time() {
    let it = connected(false, usize::MAX);
    it.peer.send(b"7:shout.a,and much more than one request");
    it.clock.settle();
    assert_eq!((it.peer.ended(), it.counts().open), ((true, false), 1));
    it.clock.advance(Limits::default().linger_timeout);
    assert_eq!(
        (it.peer.ended(), it.counts().closed.done),
        ((true, true), 1)
    );
}

#[test]
fn s7_a_lingering_close_drains_a_bounded_number_of_bytes() {
    let it = connected(false, usize::MAX);
    it.peer.send(b"7:shout.a,");
    it.clock.settle();
    let max = Limits::default().linger_bytes_max;
    it.peer.send(&vec![b'x'; max]);
    it.clock.settle();
    assert_eq!(it.counts().open, 1);
    it.peer.send(b"x");
    it.clock.settle();
    let counts = it.counts();
    assert_eq!(
        (counts.closed.done, counts.bytes_in),
        (1, 10 + max as u64 + 1)
    );
}

#[test]
fn s23_replies_taken_to_their_last_byte_are_answered_and_only_the_others_fail() {
    let it = connected(true, 6);
    it.peer.send(b"7:shout.a,7:shout.b,7:shout.c,8:shout.de,");
    it.clock.settle();
    assert_eq!((it.counts().answered, it.counts().in_flight), (1, 3));
    it.peer.take(1);
    it.clock.settle();
    assert_eq!(it.counts().answered, 1);
    it.peer.take(6);
    it.clock.settle();
    it.process.kill();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,1:B,1:C,2");
    let counts = it.counts();
    assert_eq!(
        (counts.answered, counts.failed, counts.bytes_out),
        (3, 1, 13)
    );
}

#[test]
fn s20_the_heir_of_a_crashed_connection_delivers_the_replies_it_owed() {
    let it = connected(true, 1);
    it.peer.send(b"7:shout.a,7:crash.b,7:shout.c,");
    it.clock.settle();
    let heir = it.process.heir().unwrap();
    assert_eq!((it.process.is_alive(), heir.is_alive()), (false, true));
    assert_eq!(it.counts().open, 1);
    it.peer.take(100);
    it.peer.finish();
    it.clock.settle();
    assert!(!heir.is_alive());
    assert_eq!(it.peer.received(), b"1:A,");
    let counts = it.counts();
    assert_eq!(
        (counts.answered, counts.failed, counts.closed.panic),
        (1, 1, 1)
    );
}

#[test]
fn s20_a_crash_delivers_no_other_connection_s_replies() {
    let it = connected(true, 0);
    it.peer.send(b"8:shout.me,");
    let other = it.beside(transforms(true), usize::MAX);
    // The write panics, and so does a second one, should there be one.
    other.peer.trap(2);
    other.peer.send(b"9:shout.you,");
    it.clock.settle();
    it.peer.trap(1);
    it.peer.take(100);
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"2:ME,");
}

#[test]
fn s21_a_request_in_flight_is_finished_before_the_connection_closes() {
    let it = connected(true, usize::MAX);
    it.peer.send(b"7:sho");
    it.clock.settle();
    it.process.exit(Reason::Shutdown);
    it.clock.settle();
    assert_eq!(it.counts().open, 1);
    it.peer.send(b"ut.a,");
    it.peer.finish();
    it.clock.settle();
    assert_eq!(
        (it.peer.received(), it.counts().closed.done),
        (b"1:A,".to_vec(), 1)
    );
}

#[test]
fn s21_a_kill_cuts_what_is_in_flight() {
    let it = connected(true, 0);
    it.peer.send(b"7:shout.a,");
    it.clock.settle();
    it.process.kill();
    it.clock.settle();
    assert_eq!((it.counts().closed.cut, it.counts().failed), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn s2_the_replies_do_not_depend_on_how_requests_and_replies_are_cut(
        cuts in prop::collection::vec(0_usize..64, 0..6),
        window in 0_usize..20,
    ) {
        let requests = b"10:shout.ahoy,11:reverse.a\nb,12:cummingsify.,7:shout.z,";
        let it = connected(true, window);
        it.send_in_pieces(requests, cuts);
        prop_assert_eq!(it.peer.received(), b"4:AHOY,3:b\na,0:,1:Z,".to_vec());
        prop_assert_eq!(it.counts().closed.done, 1);
    }
}

/// tokio adds 96 bytes and rounds up to a multiple of 128: one byte more would cost every connection 128.
#[test]
#[cfg(target_pointer_width = "64")]
fn the_task_of_a_connection_takes_no_more_than_512_bytes() {
    type Connection = crate::request_server::Connection<crate::net::Socket, TransformService>;
    assert!(crate::process::task_bytes::<Connection>() <= 512 - 96);
}
