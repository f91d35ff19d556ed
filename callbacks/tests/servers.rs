//! The servers in memory, on virtual time: paces and deadlines to the nanosecond, back-pressure to the byte, without
//! waiting.

mod common;

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    Factory, Limits, MemoryPeer, MemoryReactor, Pace, Poem, PoemService, ServerState,
    TransformService, poem_factory, transform_factory,
};
use poetry::event::Unobserved;
use poetry::{Clock, Counts, Reporter, Role};

use common::SECOND;

const INSTANT: Duration = Duration::from_nanos(1);

/// A reactor, and the state of a server in it.
struct Setup {
    reactor: MemoryReactor,
    state: Rc<ServerState>,
}

impl Setup {
    fn new(limits: Limits) -> Self {
        let reporter = Reporter::new(
            "callbacks",
            Role::PoemServer,
            Clock::stopped(),
            Arc::new(Unobserved),
        );
        Self {
            reactor: MemoryReactor::new(),
            state: ServerState::new(limits, reporter),
        }
    }

    fn transforms(&self, keep_alive: bool) -> Rc<dyn Factory> {
        let service = TransformService {
            keep_alive,
            lab: None,
            offload: false,
        };
        transform_factory(service, &self.state)
    }

    fn counts(&self) -> Counts {
        let counts = self.state.counts();
        counts.check().unwrap();
        counts
    }
}

// ANCHOR: chunks_on_time
#[test]
fn s1_chunks_arrive_on_time_and_fin_one_delay_after_the_last() {
    let setup = Setup::new(Limits::default());
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: SECOND,
    };
    let poems = poem_factory(
        PoemService {
            poem: Poem::from("abcde"),
            pace,
        },
        &setup.state,
    );
    let peer = setup.reactor.accept(&poems);
    peer.finish();
    for chunk in [&b"ab"[..], b"cd", b"e"] {
        setup.reactor.settle();
        assert_eq!(peer.received(), chunk);
        setup.reactor.advance(SECOND - INSTANT);
        assert!(peer.received().is_empty() && !peer.sees_fin());
        setup.reactor.advance(INSTANT);
    }
    assert!(peer.sees_fin());
    assert_eq!(
        (setup.counts().answered, setup.counts().closed.done),
        (1, 1)
    );
}
// ANCHOR_END: chunks_on_time

#[test]
fn s1_lateness_does_not_accumulate() {
    let setup = Setup::new(Limits::default());
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(1).unwrap(),
        delay: SECOND,
    };
    let poems = poem_factory(
        PoemService {
            poem: Poem::from("abcdef"),
            pace,
        },
        &setup.state,
    );
    let peer = setup.reactor.accept(&poems);
    setup.reactor.advance(SECOND * 3 + SECOND / 2);
    assert_eq!(peer.received(), b"abcd");
    setup.reactor.advance(SECOND / 2);
    assert_eq!(peer.received(), b"e");
}

/// Neither peer takes anything at first; then `slow` takes a byte before each timeout.
fn only_the_stalled_peer_is_closed(setup: &Setup, stalled: &MemoryPeer, slow: &MemoryPeer) {
    for _ in 0..3 {
        setup.reactor.advance(SECOND - INSTANT);
        slow.take_unannounced(1);
        setup.reactor.advance(INSTANT);
        assert!(stalled.is_closed() && !slow.is_closed());
    }
    let counts = setup.counts();
    assert_eq!((counts.closed.write, counts.in_flight), (1, 1));
    setup.reactor.advance(SECOND);
    assert!(slow.is_closed());
    let counts = setup.counts();
    assert_eq!((counts.closed.write, counts.failed), (2, 2));
}

#[test]
fn s18_a_stalled_reader_of_a_reply_is_closed_and_a_slow_but_steady_one_is_not() {
    let setup = Setup::new(Limits {
        write_timeout: SECOND,
        ..Limits::default()
    });
    let transforms = setup.transforms(true);
    let (stalled, slow) = (
        setup.reactor.accept(&transforms),
        setup.reactor.accept(&transforms),
    );
    for peer in [&stalled, &slow] {
        peer.limit_room(1);
        peer.send(b"10:shout.ahoy,");
    }
    setup.reactor.settle();
    only_the_stalled_peer_is_closed(&setup, &stalled, &slow);
    assert_eq!(slow.received(), b"4:AH");
}

#[test]
fn s18_a_stalled_reader_of_a_poem_is_closed_and_a_slow_but_steady_one_is_not() {
    let setup = Setup::new(Limits {
        write_timeout: SECOND,
        ..Limits::default()
    });
    let service = PoemService {
        poem: Poem::from("a poem"),
        pace: Pace::Slow {
            num_bytes: NonZeroUsize::MIN,
            delay: INSTANT,
        },
    };
    let poems = poem_factory(service, &setup.state);
    let (stalled, slow) = (setup.reactor.accept(&poems), setup.reactor.accept(&poems));
    for peer in [&stalled, &slow] {
        peer.limit_room(0);
    }
    setup.reactor.advance(INSTANT);
    only_the_stalled_peer_is_closed(&setup, &stalled, &slow);
    assert_eq!(slow.received(), b"a po");
}

#[test]
fn s18_room_that_is_announced_but_not_there_does_not_keep_a_peer() {
    let setup = Setup::new(Limits {
        write_timeout: SECOND * 3,
        ..Limits::default()
    });
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::MIN,
        delay: INSTANT,
    };
    let poem = Poem::from("a poem");
    let poems = poem_factory(PoemService { poem, pace }, &setup.state);
    let peers = [
        setup.reactor.accept(&setup.transforms(true)),
        setup.reactor.accept(&poems),
    ];
    for peer in &peers {
        peer.limit_room(0);
        peer.send(b"10:shout.ahoy,");
    }
    setup.reactor.advance(INSTANT);
    for seconds in 1..=3 {
        setup.reactor.advance(SECOND - INSTANT);
        // This announces room too, as a kernel may.
        peers.iter().for_each(|peer| peer.send(b"x"));
        setup.reactor.advance(INSTANT);
        let closed = peers.each_ref().map(MemoryPeer::is_reset);
        assert_eq!(closed, [seconds == 3; 2]);
    }
}

#[test]
fn s5_nothing_is_read_while_a_reply_is_unsent() {
    let setup = Setup::new(Limits::default());
    let peer = setup.reactor.accept(&setup.transforms(true));
    peer.limit_room(3);
    peer.send(b"8:shout.ab,");
    setup.reactor.settle();
    peer.send(b"8:shout.cd,");
    setup.reactor.settle();
    assert_eq!((peer.unread(), peer.received()), (11, b"2:A".to_vec()));
    peer.limit_room(100);
    setup.reactor.settle();
    assert_eq!((peer.unread(), peer.received()), (0, b"B,2:CD,".to_vec()));
    assert_eq!(setup.counts().answered, 2);
}

#[test]
fn s7_a_one_shot_server_lingers_for_a_bounded_time_and_number_of_bytes() {
    let setup = Setup::new(Limits {
        linger_timeout: SECOND,
        linger_bytes_max: 10,
        ..Limits::default()
    });
    let one_shot = setup.transforms(false);
    let (silent, chatty) = (
        setup.reactor.accept(&one_shot),
        setup.reactor.accept(&one_shot),
    );
    for peer in [&silent, &chatty] {
        peer.send(b"8:shout.ab,8:shout.cd,");
        setup.reactor.settle();
        assert_eq!(peer.received(), b"2:AB,");
        assert!(peer.sees_fin() && !peer.is_closed());
    }
    chatty.send(b"eleven more");
    setup.reactor.settle();
    assert!(chatty.is_closed() && !silent.is_closed());
    setup.reactor.advance(SECOND);
    assert!(silent.is_closed());
    assert_eq!(
        (setup.counts().answered, setup.counts().closed.done),
        (2, 2)
    );
}

#[test]
fn s18_a_partial_request_and_an_idle_connection_have_different_deadlines() {
    let setup = Setup::new(Limits {
        idle_timeout: SECOND * 9,
        request_deadline: SECOND * 3,
        ..Limits::default()
    });
    let keep_alive = setup.transforms(true);
    let (trickles, idle) = (
        setup.reactor.accept(&keep_alive),
        setup.reactor.accept(&keep_alive),
    );
    for byte in b"10:" {
        trickles.send(&[*byte]);
        setup.reactor.settle();
        setup.reactor.advance(SECOND - INSTANT);
        assert!(!trickles.is_closed());
    }
    setup.reactor.advance(INSTANT * 3);
    assert!(trickles.is_closed() && !idle.is_closed());
    setup.reactor.advance(SECOND * 6);
    assert!(idle.is_closed());
    assert_eq!(
        (setup.counts().closed.deadline, setup.counts().closed.idle),
        (1, 1)
    );
}

#[test]
fn s6_a_peer_that_finishes_within_a_request_gets_the_replies_before_it() {
    let setup = Setup::new(Limits::default());
    let peer = setup.reactor.accept(&setup.transforms(true));
    peer.send(b"8:shout.ab,8:sho");
    peer.finish();
    setup.reactor.settle();
    assert_eq!(peer.received(), b"2:AB,");
    assert!(peer.is_closed());
    let counts = setup.counts();
    assert_eq!(
        (
            counts.answered,
            counts.refused.truncated,
            counts.closed.refused
        ),
        (1, 1, 1)
    );
}

#[test]
fn s4_a_framing_error_ends_the_connection_after_the_replies_before_it() {
    let setup = Setup::new(Limits::default());
    let peer = setup.reactor.accept(&setup.transforms(true));
    peer.send(b"8:shout.ab,");
    setup.reactor.settle();
    peer.send(b"8:shout.cd,x");
    setup.reactor.settle();
    assert_eq!(peer.received(), b"2:AB,2:CD,");
    peer.finish();
    setup.reactor.settle();
    assert_eq!(
        (
            setup.counts().refused.framing,
            setup.counts().closed.refused
        ),
        (1, 1)
    );
}

#[test]
fn s23_replies_taken_whole_are_answered_and_the_others_failed() {
    let setup = Setup::new(Limits::default());
    let peer = setup.reactor.accept(&setup.transforms(true));
    peer.limit_room(8);
    peer.send(&b"8:shout.ab,".repeat(3));
    setup.reactor.settle();
    assert_eq!((setup.counts().answered, setup.counts().in_flight), (1, 2));
    peer.limit_room(3);
    setup.reactor.settle();
    peer.fail(ErrorKind::ConnectionReset);
    setup.reactor.settle();
    let counts = setup.counts();
    assert_eq!(
        (counts.answered, counts.failed, counts.closed.reset),
        (2, 1, 1)
    );
}

#[test]
fn s19_a_reset_before_the_reply_is_taken_counts_as_reset_and_one_after_the_poem_does_not() {
    let setup = Setup::new(Limits::default());
    let peer = setup.reactor.accept(&setup.transforms(false));
    peer.limit_room(0);
    peer.send(b"8:shout.ab,");
    setup.reactor.settle();
    peer.fail(ErrorKind::ConnectionReset);
    setup.reactor.settle();
    assert_eq!((setup.counts().closed.reset, setup.counts().failed), (1, 1));

    let poem = PoemService {
        poem: Poem::from("a poem"),
        pace: Pace::Fast,
    };
    let peer = setup.reactor.accept(&poem_factory(poem, &setup.state));
    assert!(peer.sees_fin());
    peer.fail(ErrorKind::ConnectionReset);
    setup.reactor.settle();
    assert_eq!(
        (setup.counts().closed.done, setup.counts().answered),
        (1, 1)
    );
}
