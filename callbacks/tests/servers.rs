//! The servers in memory, on virtual time: paces and deadlines to the nanosecond, back-pressure to the byte, and nobody
//! waits.

mod common;

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    Admission, Factory, MemoryReactor, Peer, Station, poem_factory, transform_factory,
};
use poetry::event::Unobserved;
use poetry::{
    Clock, Counters, Counts, Limits, Pace, Poem, PoemService, Reporter, Role, TransformService,
};

use common::SECOND;

const INSTANT: Duration = Duration::from_nanos(1);

/// A reactor, a station in it, and what it counts.
struct House {
    reactor: MemoryReactor,
    station: Rc<Station>,
    counters: Arc<Counters>,
}

impl House {
    fn new(limits: Limits) -> Self {
        let counters = Arc::new(Counters::default());
        let reporter = Reporter::new(
            "callbacks",
            Role::PoemServer,
            Clock::stopped(),
            Arc::new(Unobserved),
        );
        let here = ([127, 0, 0, 1], 1).into();
        let station = Station::new(
            limits,
            Arc::clone(&counters),
            reporter,
            Admission::new(100),
            0,
            here,
        );
        Self {
            reactor: MemoryReactor::new(),
            station,
            counters,
        }
    }

    fn transforms(&self, keep_alive: bool) -> Rc<dyn Factory> {
        transform_factory(
            TransformService {
                keep_alive,
                lab: None,
            },
            &self.station,
        )
    }

    fn counts(&self) -> Counts {
        let counts = Counts::of(std::iter::once(&*self.counters));
        counts.check().unwrap();
        counts
    }
}

#[test]
fn s1_chunks_come_at_their_times_and_fin_one_delay_after_the_last() {
    let house = House::new(Limits::default());
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: SECOND,
    };
    let poems = poem_factory(
        PoemService {
            poem: Poem::from("abcde"),
            pace,
        },
        &house.station,
    );
    let peer = house.reactor.accept(&poems);
    peer.finish();
    for chunk in [&b"ab"[..], b"cd", b"e"] {
        house.reactor.settle();
        assert_eq!(peer.received(), chunk);
        house.reactor.advance(SECOND - INSTANT);
        assert!(peer.received().is_empty() && !peer.sees_fin());
        house.reactor.advance(INSTANT);
    }
    assert!(peer.sees_fin());
    assert_eq!(
        (house.counts().answered, house.counts().closed.done),
        (1, 1)
    );
}

#[test]
fn s1_lateness_does_not_accumulate() {
    let house = House::new(Limits::default());
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(1).unwrap(),
        delay: SECOND,
    };
    let poems = poem_factory(
        PoemService {
            poem: Poem::from("abcdef"),
            pace,
        },
        &house.station,
    );
    let peer = house.reactor.accept(&poems);
    house.reactor.advance(SECOND * 3 + SECOND / 2);
    assert_eq!(peer.received(), b"abcd");
    house.reactor.advance(SECOND / 2);
    assert_eq!(peer.received(), b"e");
}

/// Two peers of `factory` that take nothing; then one of them takes a byte now and then.
fn one_takes_little_by_little(house: &House, never: &Peer, slow: &Peer) {
    for _ in 0..3 {
        house.reactor.advance(SECOND - INSTANT);
        slow.take_unannounced(1);
        house.reactor.advance(INSTANT);
        assert!(never.is_closed() && !slow.is_closed());
    }
    let counts = house.counts();
    assert_eq!((counts.closed.write, counts.in_flight), (1, 1));
    house.reactor.advance(SECOND);
    assert!(slow.is_closed());
    let counts = house.counts();
    assert_eq!((counts.closed.write, counts.failed), (2, 2));
}

#[test]
fn s18_a_peer_that_takes_no_byte_of_a_reply_is_closed_and_one_that_takes_some_is_not() {
    let house = House::new(Limits {
        write_timeout: SECOND,
        ..Limits::default()
    });
    let transforms = house.transforms(true);
    let (never, slow) = (
        house.reactor.accept(&transforms),
        house.reactor.accept(&transforms),
    );
    for peer in [&never, &slow] {
        peer.limit_room(1);
        peer.send(b"10:shout.ahoy,");
    }
    house.reactor.settle();
    one_takes_little_by_little(&house, &never, &slow);
    assert_eq!(slow.received(), b"4:AH");
}

#[test]
fn s18_a_peer_that_takes_no_byte_of_a_poem_is_closed_and_one_that_takes_some_is_not() {
    let house = House::new(Limits {
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
    let poems = poem_factory(service, &house.station);
    let (never, slow) = (house.reactor.accept(&poems), house.reactor.accept(&poems));
    for peer in [&never, &slow] {
        peer.limit_room(0);
    }
    house.reactor.advance(INSTANT);
    one_takes_little_by_little(&house, &never, &slow);
    assert_eq!(slow.received(), b"a po");
}

#[test]
fn s5_while_a_reply_waits_nothing_more_is_read() {
    let house = House::new(Limits::default());
    let peer = house.reactor.accept(&house.transforms(true));
    peer.limit_room(3);
    peer.send(b"8:shout.ab,");
    house.reactor.settle();
    peer.send(b"8:shout.cd,");
    house.reactor.settle();
    assert_eq!((peer.unread(), peer.received()), (11, b"2:A".to_vec()));
    peer.limit_room(100);
    house.reactor.settle();
    assert_eq!((peer.unread(), peer.received()), (0, b"B,2:CD,".to_vec()));
    assert_eq!(house.counts().answered, 2);
}

#[test]
fn s7_a_one_shot_server_lingers_for_a_bounded_time_and_number_of_bytes() {
    let house = House::new(Limits {
        linger_timeout: SECOND,
        linger_bytes_max: 10,
        ..Limits::default()
    });
    let one_shot = house.transforms(false);
    let (silent, chatty) = (
        house.reactor.accept(&one_shot),
        house.reactor.accept(&one_shot),
    );
    for peer in [&silent, &chatty] {
        peer.send(b"8:shout.ab,8:shout.cd,");
        house.reactor.settle();
        assert_eq!(peer.received(), b"2:AB,");
        assert!(peer.sees_fin() && !peer.is_closed());
    }
    chatty.send(b"eleven more");
    house.reactor.settle();
    assert!(chatty.is_closed() && !silent.is_closed());
    house.reactor.advance(SECOND);
    assert!(silent.is_closed());
    assert_eq!(
        (house.counts().answered, house.counts().closed.done),
        (2, 2)
    );
}

#[test]
fn s18_a_request_has_a_deadline_from_its_first_byte_and_silence_has_another() {
    let house = House::new(Limits {
        idle_timeout: SECOND * 9,
        request_deadline: SECOND * 3,
        ..Limits::default()
    });
    let keep_alive = house.transforms(true);
    let (trickles, idle) = (
        house.reactor.accept(&keep_alive),
        house.reactor.accept(&keep_alive),
    );
    for byte in b"10:" {
        trickles.send(&[*byte]);
        house.reactor.settle();
        house.reactor.advance(SECOND - INSTANT);
        assert!(!trickles.is_closed());
    }
    house.reactor.advance(INSTANT * 3);
    assert!(trickles.is_closed() && !idle.is_closed());
    house.reactor.advance(SECOND * 6);
    assert!(idle.is_closed());
    assert_eq!(
        (house.counts().closed.deadline, house.counts().closed.idle),
        (1, 1)
    );
}

#[test]
fn s6_a_peer_that_finishes_in_mid_request_gets_what_it_is_owed() {
    let house = House::new(Limits::default());
    let peer = house.reactor.accept(&house.transforms(true));
    peer.send(b"8:shout.ab,8:sho");
    peer.finish();
    house.reactor.settle();
    assert_eq!(peer.received(), b"2:AB,");
    assert!(peer.is_closed());
    let counts = house.counts();
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
fn s4_a_framing_error_is_placed_in_the_stream() {
    let house = House::new(Limits::default());
    let peer = house.reactor.accept(&house.transforms(true));
    peer.send(b"8:shout.ab,");
    house.reactor.settle();
    peer.send(b"8:shout.cd,x");
    house.reactor.settle();
    assert_eq!(peer.received(), b"2:AB,2:CD,");
    peer.finish();
    house.reactor.settle();
    assert_eq!(
        (
            house.counts().refused.framing,
            house.counts().closed.refused
        ),
        (1, 1)
    );
}

#[test]
fn s23_of_a_batch_partly_taken_the_whole_replies_are_answered_and_the_rest_failed() {
    let house = House::new(Limits::default());
    let peer = house.reactor.accept(&house.transforms(true));
    peer.limit_room(8);
    peer.send(&b"8:shout.ab,".repeat(3));
    house.reactor.settle();
    assert_eq!((house.counts().answered, house.counts().in_flight), (1, 2));
    peer.limit_room(3);
    house.reactor.settle();
    peer.fail(ErrorKind::ConnectionReset);
    house.reactor.settle();
    let counts = house.counts();
    assert_eq!(
        (counts.answered, counts.failed, counts.closed.reset),
        (2, 1, 1)
    );
}

#[test]
fn s19_a_reset_before_the_reply_is_taken_is_a_reset_and_one_after_the_poem_is_not() {
    let house = House::new(Limits::default());
    let peer = house.reactor.accept(&house.transforms(false));
    peer.limit_room(0);
    peer.send(b"8:shout.ab,");
    house.reactor.settle();
    peer.fail(ErrorKind::ConnectionReset);
    house.reactor.settle();
    assert_eq!((house.counts().closed.reset, house.counts().failed), (1, 1));

    let poem = PoemService {
        poem: Poem::from("a poem"),
        pace: Pace::Fast,
    };
    let peer = house.reactor.accept(&poem_factory(poem, &house.station));
    assert!(peer.sees_fin());
    peer.fail(ErrorKind::ConnectionReset);
    house.reactor.settle();
    assert_eq!(
        (house.counts().closed.done, house.counts().answered),
        (1, 1)
    );
}
