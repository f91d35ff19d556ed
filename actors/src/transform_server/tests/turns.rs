//! The turns of connections that share an arbiter (S24), counted in requests.

use std::sync::Mutex;

use poetry::Event;
use poetry::event::Interest;
use poetry::limits::REQUESTS_PER_TURN_MAX;

use super::*;
use crate::process::{Node, TestClock};

const TURN: u64 = REQUESTS_PER_TURN_MAX as u64;
/// More than two turns.
const MANY: usize = 150;

/// The events `Answered`, in order: the number of the connection, and how many of its requests.
#[derive(Default)]
struct Answers(Mutex<Vec<(u64, u64)>>);

impl Observer for Answers {
    fn interest(&self) -> Interest {
        Interest::ANSWERED
    }

    fn observe(&self, event: &Event) {
        if let poetry::Kind::Answered { requests } = event.kind {
            self.0.lock().unwrap().push((event.scene.task, requests));
        }
    }
}

/// Connections 0, 1, … in one arbiter.
struct Neighbours {
    answers: Arc<Answers>,
    connections: Vec<Connected>,
    clock: TestClock,
}

impl Neighbours {
    fn new(connections: u64) -> Self {
        let node = Node::start_on_test_clock().unwrap();
        let answers = Arc::new(Answers::default());
        let connect = |number| {
            let observer = Arc::clone(&answers) as _;
            Connected::observed(&node, transforms(true), number, observer)
        };
        Self {
            connections: (0..connections).map(connect).collect(),
            answers,
            clock: node.1,
        }
    }

    /// Sends requests to several connections at one instant: so many to each.
    fn send(&self, requests: &[usize]) {
        let peers = self.connections.iter().map(|it| it.peer.clone());
        let sends: Vec<_> = peers.zip(requests.to_vec()).collect();
        self.clock.at_once(move || {
            for (peer, requests) in sends {
                peer.send(&b"7:shout.a,".repeat(requests));
            }
        });
    }

    fn answers(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.answers.0.lock().unwrap())
    }
}

#[test]
fn s24_every_ready_connection_has_one_turn_of_at_most_64_requests_before_any_has_another() {
    let it = Neighbours::new(5);
    it.send(&[MANY, MANY, 64, MANY, 1]);
    let last = MANY as u64 - 2 * TURN;
    let expected = [
        (0, TURN),
        (1, TURN),
        (2, TURN),
        (3, TURN),
        (4, 1),
        (0, TURN),
        (1, TURN),
        (3, TURN),
        (0, last),
        (1, last),
        (3, last),
    ];
    assert_eq!(it.answers(), expected);
}

#[test]
fn s24_a_connection_that_becomes_ready_during_the_turns_of_others_is_answered_in_the_next_round() {
    let it = Neighbours::new(3);
    // Connection 2 has its second request sent while the others have kept requests.
    let (late, seen) = (it.connections[2].peer.clone(), Arc::clone(&it.answers));
    let first = it.connections[0].peer.clone();
    let second = it.connections[1].peer.clone();
    it.clock.at_once(move || {
        first.send(&b"7:shout.a,".repeat(10 * 64));
        second.send(&b"7:shout.a,".repeat(10 * 64));
        actix::spawn(async move {
            while seen.0.lock().unwrap().len() < 4 {
                tokio::task::yield_now().await;
            }
            late.send(b"7:shout.z,");
        });
    });
    let answers = it.answers();
    let polite = answers.iter().position(|&(number, _)| number == 2).unwrap();
    for number in [0, 1] {
        let before = answers[..polite].iter().filter(|(task, _)| *task == number);
        // Two turns before the request was sent, and at most two while it waited (S24: 128 requests).
        assert!(before.count() <= 4, "{answers:?}");
    }
}

#[test]
fn s24_a_connection_with_kept_requests_reads_nothing_more() {
    let it = Neighbours::new(1);
    let (peer, answers) = (it.connections[0].peer.clone(), Arc::clone(&it.answers));
    let (unread, seen) = std::sync::mpsc::channel();
    it.clock.at_once(move || {
        peer.send(&b"7:shout.a,".repeat(MANY));
        actix::spawn(async move {
            while answers.0.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            // In the arbiter, between two turns.
            peer.send(b"7:shout.b,");
            while answers.0.lock().unwrap().len() < 2 {
                unread.send(peer.unread()).unwrap();
                tokio::task::yield_now().await;
            }
        });
    });
    it.clock.settle();
    assert!(seen.try_iter().all(|unread| unread == 10));
    let counts = it.connections[0].counts();
    assert_eq!((counts.answered, counts.in_flight), (MANY as u64 + 1, 0));
}

fn sent(it: &Connected, requests: &[u8]) {
    it.peer.send(requests);
    it.clock.settle();
}

#[test]
fn s6_and_s24_kept_requests_are_answered_after_a_half_close() {
    let it = connected(true, usize::MAX);
    let peer = it.peer.clone();
    it.clock.at_once(move || {
        peer.send(&b"7:shout.a,".repeat(MANY));
        peer.finish();
    });
    assert_eq!(it.peer.received(), b"1:A,".repeat(MANY));
    let counts = it.counts();
    assert_eq!((counts.answered, counts.closed.done), (MANY as u64, 1));
}

#[test]
fn s4_and_s24_a_refusal_among_the_kept_requests_closes_after_the_replies_before_it() {
    let it = connected(true, usize::MAX);
    let requests = [&b"7:shout.a,".repeat(MANY)[..], b"4:oops,7:shout.b,"].concat();
    sent(&it, &requests);
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,".repeat(MANY));
    let counts = it.counts();
    assert_eq!(
        (counts.requests, counts.answered),
        (MANY as u64 + 1, MANY as u64)
    );
    assert_eq!(counts.closed.refused, 1);
}

#[test]
fn s5_and_s24_one_shot_answers_the_first_request_and_keeps_none() {
    let it = connected(false, usize::MAX);
    sent(&it, &b"7:shout.a,".repeat(MANY));
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,");
    assert_eq!((it.counts().requests, it.counts().closed.done), (1, 1));
}

#[test]
fn s20_and_s24_a_crash_among_the_kept_requests_delivers_the_replies_before_it() {
    let it = connected(true, usize::MAX);
    let requests = [&b"7:shout.a,".repeat(MANY)[..], b"7:crash.b,7:shout.c,"].concat();
    sent(&it, &requests);
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,".repeat(MANY));
    let counts = it.counts();
    assert_eq!(
        (counts.answered, counts.failed, counts.closed.panic),
        (MANY as u64, 1, 1)
    );
}

#[test]
fn s5_and_s24_a_peer_that_does_not_read_its_replies_keeps_its_requests_waiting() {
    let it = connected(true, 10);
    sent(&it, &b"7:shout.a,".repeat(MANY));
    // The replies of one turn wait, and the other requests with them.
    assert_eq!((it.counts().requests, it.counts().answered), (TURN, 2));
    it.peer.take(usize::MAX / 2);
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,".repeat(MANY));
    assert_eq!((it.counts().answered, it.counts().open), (MANY as u64, 1));
}

#[test]
fn s21_and_s24_a_connection_with_kept_requests_is_in_flight_at_shutdown() {
    let it = connected(true, 0);
    sent(&it, &b"7:shout.a,".repeat(MANY));
    it.process.exit(Reason::Shutdown);
    it.clock.settle();
    assert_eq!(it.counts().open, 1);
    it.peer.take(usize::MAX / 2);
    it.peer.finish();
    it.clock.settle();
    assert_eq!(it.peer.received(), b"1:A,".repeat(MANY));
    let counts = it.counts();
    assert_eq!((counts.answered, counts.closed.done), (MANY as u64, 1));
}

#[test]
fn s19_and_s24_a_reset_behind_kept_requests_costs_only_the_connection() {
    let it = connected(true, usize::MAX);
    let peer = it.peer.clone();
    it.clock.at_once(move || {
        peer.send(&b"7:shout.a,".repeat(MANY));
        actix::spawn(async move { peer.reset() });
    });
    it.clock.settle();
    let counts = it.counts();
    assert_eq!(
        (counts.open, counts.closed.reset, counts.in_flight),
        (0, 1, 0)
    );
}

#[test]
fn s18_and_s24_a_partial_request_behind_kept_ones_has_its_deadline() {
    let it = connected(true, usize::MAX);
    let requests = [&b"7:shout.a,".repeat(MANY)[..], b"7:sho"].concat();
    sent(&it, &requests);
    assert_eq!(it.counts().answered, MANY as u64);
    it.clock.advance(29 * SECOND);
    assert_eq!(it.counts().open, 1);
    it.clock.advance(SECOND);
    assert_eq!(it.counts().closed.deadline, 1);
}
