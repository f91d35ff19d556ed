//! S24 in memory: a connection's turn answers at most 64 requests, then every other ready connection has a turn. The tests
//! count requests, not time; and they end, refuse, panic, block and shut down a connection in the middle of a burst.

mod common;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{
    Factory, Limits, MemoryPeer, MemoryReactor, ServerState, TransformService, transform_factory,
};
use poetry::limits::{READ_BUFFER_BYTES, REQUESTS_PER_TURN_MAX};
use poetry::{Clock, Counts, Reporter, Role};

use common::{Answers, SECOND};

const TURN: usize = REQUESTS_PER_TURN_MAX as usize;
const REQUEST: &[u8] = b"9:shout.abc,";
const REPLY: &[u8] = b"3:ABC,";

/// A transform server in memory.
struct Setup {
    reactor: MemoryReactor,
    state: Rc<ServerState>,
    factory: Rc<dyn Factory>,
    answers: Arc<Answers>,
}

impl Setup {
    fn new(keep_alive: bool) -> Self {
        let answers = Arc::new(Answers::default());
        let (clock, observer) = (Clock::stopped(), Arc::clone(&answers));
        let reporter = Reporter::new("callbacks", Role::TransformServer, clock.clone(), observer);
        let state = ServerState::new(Limits::default(), reporter);
        let lab = Some(clock);
        let factory = transform_factory(
            TransformService {
                keep_alive,
                lab,
                offload: false,
            },
            &state,
        );
        Self {
            reactor: MemoryReactor::new(),
            state,
            factory,
            answers,
        }
    }

    fn accept(&self) -> MemoryPeer {
        self.reactor.accept(&self.factory)
    }

    fn answers(&self) -> Vec<(u64, u64)> {
        self.answers.take()
    }

    fn counts(&self) -> Counts {
        let counts = self.state.counts();
        counts.check().unwrap();
        counts
    }

    /// A connection whose burst of `requests`, followed by `end`, has had its first turn.
    fn in_a_burst(&self, requests: usize, end: &[u8]) -> MemoryPeer {
        let peer = self.accept();
        peer.send(&burst(requests, end));
        self.reactor.turn();
        assert_eq!(peer.received(), REPLY.repeat(TURN));
        assert_eq!(peer.unread(), 0);
        peer
    }
}

fn burst(requests: usize, end: &[u8]) -> Vec<u8> {
    [&REQUEST.repeat(requests), end].concat()
}

#[test]
fn s24_between_two_turns_of_a_connection_every_other_ready_one_has_exactly_one() {
    let setup = Setup::new(true);
    let peers = [(); 4].map(|()| setup.accept());
    // They begin in different turns of the loop.
    for peer in &peers {
        peer.send(&burst(10 * TURN, b""));
        setup.reactor.turn();
    }
    setup.reactor.settle();
    let answers = setup.answers();
    assert_eq!(answers.len(), 40);
    assert!(answers.iter().all(|(_, requests)| *requests == TURN as u64));
    let turns: Vec<u64> = answers.iter().map(|(task, _)| *task).collect();
    for (task, other) in (0..4).flat_map(|task| (0..4).map(move |other| (task, other))) {
        if task != other {
            assert_one_turn_between(&turns, task, other);
        }
    }
    for peer in &peers {
        assert_eq!(peer.received(), REPLY.repeat(10 * TURN));
    }
}

/// While both connections have requests, their turns alternate.
fn assert_one_turn_between(turns: &[u64], task: u64, other: u64) {
    let both: Vec<u64> = turns
        .iter()
        .copied()
        .filter(|turn| [task, other].contains(turn))
        .collect();
    let first_of_each = [task, other].map(|of| both.iter().position(|turn| *turn == of).unwrap());
    let last_of_each = [task, other].map(|of| both.iter().rposition(|turn| *turn == of).unwrap());
    let while_both =
        &both[first_of_each[0].max(first_of_each[1])..=last_of_each[0].min(last_of_each[1])];
    assert!(while_both.len() >= 12);
    for two in while_both.windows(2) {
        assert_ne!(two[0], two[1], "{task} and {other}: {both:?}");
    }
}

#[test]
fn s24_a_polite_client_waits_for_at_most_two_turns_of_each_pipelining_one() {
    let setup = Setup::new(true);
    let polite = setup.accept();
    let pipelining = [(); 4].map(|()| setup.accept());
    for peer in &pipelining {
        peer.send(&burst(50 * TURN, b""));
    }
    // The polite client sends its next request as soon as it has the reply to the last.
    polite.send(REQUEST);
    for _ in 0..40 {
        setup.reactor.turn();
        if !polite.received().is_empty() {
            polite.send(REQUEST);
        }
    }
    let mut since_last = [0; 5];
    let mut polite_answers = 0;
    for (task, requests) in setup.answers() {
        since_last[task as usize] += requests as usize;
        if task == 0 {
            polite_answers += 1;
            since_last = [0; 5];
        }
        assert!(
            since_last.iter().all(|&requests| requests <= 2 * TURN),
            "{since_last:?}"
        );
    }
    assert_eq!(polite_answers, 40);
}

#[test]
fn s24_nothing_more_is_read_while_bytes_wait_for_their_turn() {
    let setup = Setup::new(true);
    let peer = setup.accept();
    let requests = 200 * TURN;
    peer.send(&burst(requests, b""));
    setup.reactor.turn();
    let unread = requests * REQUEST.len() - READ_BUFFER_BYTES;
    assert_eq!(peer.unread(), unread);
    for _ in 1..READ_BUFFER_BYTES / REQUEST.len() / TURN {
        setup.reactor.turn();
        assert_eq!(peer.unread(), unread);
    }
    setup.reactor.settle();
    assert_eq!(peer.unread(), 0);
    assert_eq!(peer.received(), REPLY.repeat(requests));
    assert_eq!(
        (setup.counts().answered, setup.counts().bytes_in),
        (requests as u64, (requests * REQUEST.len()) as u64)
    );
}

#[test]
fn s24_a_half_close_behind_a_burst_ends_the_connection_after_every_reply() {
    let setup = Setup::new(true);
    let peer = setup.in_a_burst(3 * TURN, b"");
    peer.finish();
    setup.reactor.settle();
    assert_eq!(peer.received(), REPLY.repeat(2 * TURN));
    assert!(peer.is_closed());
    assert_eq!(setup.counts().closed.done, 1);
}

#[test]
fn s24_one_shot_answers_the_first_request_of_a_burst() {
    let setup = Setup::new(false);
    let peer = setup.accept();
    peer.send(&burst(3 * TURN, b""));
    setup.reactor.settle();
    assert_eq!(peer.received(), REPLY);
    assert!(peer.sees_fin() && !peer.is_closed());
    peer.finish();
    setup.reactor.settle();
    assert!(peer.is_closed());
    assert_eq!(
        (setup.counts().answered, setup.counts().closed.done),
        (1, 1)
    );
}

#[test]
fn s24_a_refusal_or_panic_in_a_later_turn_comes_after_the_replies_before_it() {
    let [mut refused, mut panicked] = [0, 0];
    for end in [&b"5:nodot,"[..], b"x", b"7:crash.x,"] {
        let setup = Setup::new(true);
        let after = [end, &REQUEST.repeat(TURN)].concat();
        let other = setup.accept();
        let peer = setup.accept();
        other.send(&burst(2 * TURN, b""));
        peer.send(&burst(2 * TURN + 5, &after));
        setup.reactor.turn();
        assert_eq!(peer.received(), REPLY.repeat(TURN));
        assert_eq!(other.received(), REPLY.repeat(TURN));
        setup.reactor.settle();
        assert_eq!(peer.received(), REPLY.repeat(TURN + 5));
        assert_eq!(other.received(), REPLY.repeat(TURN));
        assert!(peer.sees_fin() && !other.sees_fin());
        peer.finish();
        setup.reactor.settle();
        assert!(peer.is_closed());
        refused += setup.counts().closed.refused;
        panicked += setup.counts().closed.panic;
    }
    assert_eq!((refused, panicked), (2, 1));
}

#[test]
fn s24_a_burst_waits_while_its_replies_are_unsent() {
    let setup = Setup::new(true);
    let peer = setup.in_a_burst(4 * TURN, b"");
    peer.limit_room(3);
    setup.reactor.settle();
    assert_eq!(
        (peer.received(), setup.counts().answered),
        (b"3:A".to_vec(), 64)
    );
    // The peer takes one reply, and then all.
    peer.limit_room(3);
    setup.reactor.settle();
    assert_eq!(setup.counts().answered, 65);
    peer.limit_room(usize::MAX);
    setup.reactor.settle();
    assert_eq!(
        [b"3:A".to_vec(), peer.received()].concat(),
        REPLY.repeat(3 * TURN)
    );
    assert_eq!(setup.counts().answered, 4 * TURN as u64);
}

#[test]
fn s18_a_stalled_reader_is_closed_although_a_burst_waits() {
    let setup = Setup::new(true);
    let peer = setup.in_a_burst(4 * TURN, b"");
    peer.limit_room(0);
    setup.reactor.settle();
    assert!(!peer.is_closed());
    setup.reactor.advance(Limits::default().write_timeout);
    assert!(peer.is_closed());
    let counts = setup.counts();
    assert_eq!((counts.closed.write, counts.failed), (1, 64));
}

#[test]
fn s21_a_shutdown_waits_for_a_burst_to_be_answered() {
    let setup = Setup::new(true);
    let idle = setup.accept();
    let peer = setup.in_a_burst(3 * TURN, b"");
    let ended = setup.state.shut_down(&setup.reactor, SECOND);
    setup.reactor.settle();
    assert_eq!(peer.received(), REPLY.repeat(2 * TURN));
    assert!(idle.is_closed() && peer.sees_fin() && !ended.has_fired());
    peer.finish();
    setup.reactor.settle();
    assert!(peer.is_closed() && ended.has_fired());
    assert_eq!(setup.counts().closed.done, 2);
}

#[test]
fn s21_a_burst_is_cut_after_the_grace() {
    let setup = Setup::new(true);
    let peer = setup.in_a_burst(3 * TURN, b"");
    peer.limit_room(0);
    let ended = setup.state.shut_down(&setup.reactor, SECOND);
    setup.reactor.advance(SECOND);
    assert!(peer.is_closed() && ended.has_fired());
    let counts = setup.counts();
    assert_eq!((counts.closed.cut, counts.failed), (1, 64));
}

#[test]
fn s19_a_reset_in_a_burst_drops_what_waits() {
    let setup = Setup::new(true);
    let peer = setup.in_a_burst(3 * TURN, b"");
    peer.fail(ErrorKind::ConnectionReset);
    setup.reactor.settle();
    assert!(peer.is_closed());
    let counts = setup.counts();
    assert_eq!((counts.closed.reset, counts.answered), (1, 64));
}

/// A round may wait for another poll while polls are full, but not for ever.
#[test]
fn s24_a_burst_is_answered_although_more_sockets_are_ready_than_a_poll_returns() {
    let setup = Setup::new(true);
    let pipelining = setup.accept();
    let others: Vec<_> = (0..1_500).map(|_| setup.accept()).collect();
    pipelining.send(&burst(20 * TURN, b""));
    let mut received = 0;
    for _ in 0..20 {
        others[..1_100].iter().for_each(|peer| peer.send(REQUEST));
        setup.reactor.turn();
        let turn = pipelining.received().len();
        assert!(turn <= TURN * REPLY.len());
        received += turn;
    }
    assert!(received >= 10 * TURN * REPLY.len());
}
