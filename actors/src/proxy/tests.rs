//! A cache and its clients in memory, on a test clock.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use poetry::event::Interest;
use poetry::{Clock, Counters, Counts, Event, FetchFailure, Kind, Limits, Reporter};

use super::*;
use crate::NAME;
use crate::process::{Node, Pid, TestClock};
use crate::supervisor::{Intensity, Strategy, Supervisor};
use crate::testing::{self, Connected, Peer, Pipe};

const SECOND: Duration = Duration::from_secs(1);

/// A cache under a supervisor, and an upstream of its own.
struct Proxy {
    node: (Node, TestClock),
    protocol: Proxied,
    upstream: SocketAddr,
    counters: Arc<Counters>,
    context: Arc<ConnectionContext>,
    observer: Arc<Seen>,
    connected: Mutex<u64>,
}

/// Notes the failures of fetches, and panics when it is told of a kind in `trap`.
#[derive(Default)]
struct Seen {
    failures: Mutex<Vec<(u64, FetchFailure)>>,
    trap: Mutex<Option<Interest>>,
}

impl Observer for Seen {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if let Kind::Failed(failure) = &event.kind {
            assert_eq!(event.role, Role::PoemClient);
            let failure = (event.scene.task, failure.clone());
            self.failures.lock().unwrap().push(failure);
        }
        let trap = *self.trap.lock().unwrap();
        if trap.is_some_and(|trap| trap.meets(event.kind.interest())) {
            panic!("a trap");
        }
    }
}

impl Proxy {
    fn new() -> Self {
        Self::with(None, Limits::default())
    }

    fn with(ttl: Option<Duration>, limits: Limits) -> Self {
        static PORTS: AtomicU16 = AtomicU16::new(1);
        poetry::panics::silence_contained();
        let port = PORTS.fetch_add(1, Ordering::Relaxed);
        let upstream = SocketAddr::from(([127, 0, 0, 8], port));
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let (counters, observer) = (Arc::new(Counters::default()), Arc::new(Seen::default()));
        let observed = Arc::clone(&observer) as Arc<dyn Observer>;
        let context = Arc::new(ConnectionContext {
            worker: 0,
            limits,
            counters: Arc::clone(&counters),
            reporter: Reporter::new(NAME, Role::Proxy, Clock::stopped(), observed),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
        });
        let service = ProxyService {
            upstream: upstream.into(),
            ttl,
        };
        let cache = cache::spec::<Pipe>(service.clone(), Arc::clone(&context));
        let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![cache]);
        node.spawn("supervisor", supervisor);
        clock.settle();
        Self {
            node: (node, clock),
            protocol: Proxied(service),
            upstream,
            counters,
            context,
            observer,
            connected: Mutex::default(),
        }
    }

    /// The peer of the next fetch.
    fn upstream(&self) -> Peer {
        testing::listen(self.upstream)
    }

    fn client(&self) -> Connected {
        let observer = Arc::clone(&self.observer) as Arc<dyn Observer>;
        let number = {
            let mut connected = self.connected.lock().unwrap();
            *connected += 1;
            *connected
        };
        Connected::observed(&self.node, self.protocol.clone(), number, observer)
    }

    fn clients(&self, count: usize) -> Vec<Connected> {
        (0..count).map(|_| self.client()).collect()
    }

    fn settle(&self) {
        self.node.1.settle();
    }

    /// Sends the rest of the poem, and FIN.
    fn serve(&self, upstream: &Peer, rest: &[u8]) {
        upstream.send(rest);
        upstream.finish();
        self.settle();
    }

    /// Asserts that the next client starts a new fetch and is served its poem.
    fn assert_fetches_again(&self, poem: &[u8]) {
        let upstream = self.upstream();
        let next = self.client();
        self.serve(&upstream, poem);
        assert_served(&next, poem);
    }

    fn cache(&self) -> ProcessRef {
        let cache: Pid<ToCache> = self.node.0.whereis(CACHE).unwrap();
        cache.process()
    }

    /// Returns how many fetches have begun, are cached, failed and cancelled.
    fn fetches(&self) -> [u64; 4] {
        let fetches = Counts::from(&*self.counters).fetches;
        [
            fetches.begun,
            fetches.cached,
            fetches.failed,
            fetches.cancelled,
        ]
    }

    fn failures(&self) -> Vec<(u64, FetchFailure)> {
        std::mem::take(&mut *self.observer.failures.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.node.0.stop();
    }
}

/// Asserts that a client was reset without a byte.
fn assert_reset(client: &Connected, closed: fn(&Counts) -> u64) {
    let counts = client.counts();
    assert_eq!(client.peer.received(), b"");
    assert_eq!(client.peer.ended(), (false, true));
    assert!(client.peer.was_reset());
    assert_eq!((closed(&counts), counts.failed, counts.open), (1, 1, 0));
}

fn assert_served(client: &Connected, poem: &[u8]) {
    assert_eq!(client.peer.received(), poem);
    assert_eq!((client.peer.ended().0, client.counts().answered), (true, 1));
}

#[test]
fn s9_clients_share_one_fetch_and_receive_nothing_before_it_is_complete() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let early = proxy.clients(3);
    upstream.send(b"Stars");
    proxy.settle();
    let late = proxy.client();
    late.peer.send(b"hurry up");
    proxy.settle();
    assert!(early.iter().all(|client| client.peer.received().is_empty()));
    assert_eq!(late.counts().in_flight, 1);
    proxy.serve(&upstream, b" fall");
    for client in early.iter().chain([&late]) {
        assert_served(client, b"Stars fall");
    }
    assert_eq!(late.counts().bytes_in, 8);
    assert!(upstream.ended().1);
    assert_served(&proxy.client(), b"Stars fall");
    assert_eq!(proxy.fetches(), [1, 1, 0, 0]);
}

#[test]
fn s9_clients_leave_in_any_order_and_the_last_one_cancels_the_fetch() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let proxy = Proxy::new();
        let upstream = proxy.upstream();
        let clients = proxy.clients(3);
        upstream.send(b"Stars");
        for (left, client) in (1..).zip(order) {
            // The second to leave is reset.
            match left {
                2 => clients[client].peer.reset(),
                _ => clients[client].peer.finish(),
            }
            proxy.settle();
            assert_eq!(upstream.ended().1, left == 3, "{order:?}");
            let closed = clients[client].counts().closed;
            assert_eq!(
                [closed.left, closed.reset],
                [left != 2, left == 2].map(u64::from)
            );
        }
        assert_eq!(proxy.fetches(), [1, 0, 0, 1]);
        assert_eq!(proxy.failures(), [(0, FetchFailure::Cancelled)]);
        proxy.assert_fetches_again(b"Moon");
        assert_eq!(proxy.fetches(), [2, 1, 0, 1]);
    }
}

#[test]
fn s9_a_client_that_leaves_does_not_disturb_the_others() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let clients = proxy.clients(3);
    clients[0].peer.finish();
    clients[2].peer.reset();
    proxy.serve(&upstream, b"Stars");
    assert_served(&clients[1], b"Stars");
    assert_eq!(proxy.fetches(), [1, 1, 0, 0]);
}

#[test]
fn s9_a_client_that_joins_in_the_instant_in_which_the_last_one_leaves_is_served() {
    let proxy = Proxy::new();
    let first = proxy.upstream();
    let leaving = proxy.client();
    let second = proxy.upstream();
    let peer = leaving.peer.clone();
    // Noticed only when the next client connects.
    proxy.node.1.at_once(move || peer.finish());
    let joining = proxy.client();
    for upstream in [&first, &second] {
        upstream.send(b"Stars");
        upstream.finish();
    }
    proxy.settle();
    assert_served(&joining, b"Stars");
    let [begun, cached, failed, cancelled] = proxy.fetches();
    assert_eq!((cached, failed, begun), (1, 0, 1 + cancelled));
}

#[test]
fn s9_a_failed_fetch_resets_every_client_and_the_next_client_starts_a_new_one() {
    let limits = Limits {
        poem_bytes_max: 10,
        ..Limits::default()
    };
    type Fail = fn(&Peer);
    let fails: [(Fail, &str); 4] = [
        (Peer::reset, "connection_lost"),
        (Peer::finish, "empty"),
        (|peer| peer.send(b"longer than that"), "too_long"),
        (
            |peer| {
                peer.send(b"\xff");
                peer.finish();
            },
            "not_utf8",
        ),
    ];
    for (fail, status) in fails {
        let proxy = Proxy::with(None, limits.clone());
        let upstream = proxy.upstream();
        let clients = proxy.clients(3);
        fail(&upstream);
        proxy.settle();
        for client in &clients {
            assert_reset(client, |counts| counts.closed.upstream);
        }
        let failures = proxy.failures();
        let failed: Vec<_> = failures
            .iter()
            .map(|(task, one)| (*task, one.status()))
            .collect();
        assert_eq!(failed, [(0, status)]);
        proxy.assert_fetches_again(b"Stars");
        assert_eq!(proxy.fetches(), [2, 1, 1, 0]);
    }
}

#[test]
fn s9_a_fetch_keeps_the_timeouts_of_a_client() {
    let proxy = Proxy::new();
    // Nothing listens: the connect never completes.
    let client = proxy.client();
    proxy.node.1.advance(10 * SECOND);
    assert_reset(&client, |counts| counts.closed.upstream);
    let upstream = proxy.upstream();
    let client = proxy.client();
    upstream.send(b"Stars");
    proxy.node.1.advance(60 * SECOND);
    assert_reset(&client, |counts| counts.closed.upstream);
    assert!(upstream.ended().1);
    assert_eq!(proxy.fetches(), [2, 0, 2, 0]);
}

#[test]
fn s9_a_fetch_has_a_descriptor_in_reserve_and_so_has_the_next_one() {
    let proxy = Proxy::new();
    let mut clients = Vec::new();
    for fetch in 0..2 {
        let upstream = proxy.upstream();
        testing::short_of_descriptors(proxy.upstream, 1);
        clients.push(proxy.client());
        upstream.reset();
        proxy.settle();
        assert_reset(&clients[clients.len() - 1], |counts| counts.closed.upstream);
        let failures = proxy.failures();
        assert_eq!(
            (failures[0].0, failures[0].1.status()),
            (fetch, "connection_lost")
        );
    }
}

#[test]
fn s9_a_poem_is_served_until_its_time_to_live_is_over() {
    let proxy = Proxy::with(Some(10 * SECOND), Limits::default());
    let upstream = proxy.upstream();
    let waiting = proxy.client();
    proxy.node.1.advance(5 * SECOND);
    proxy.serve(&upstream, b"Stars");
    assert_served(&waiting, b"Stars");
    proxy.node.1.advance(10 * SECOND - SECOND / 1_000);
    let fresh = proxy.client();
    assert_served(&fresh, b"Stars");
    proxy.node.1.advance(SECOND / 1_000);
    let upstream = proxy.upstream();
    let next = proxy.client();
    assert_eq!(next.peer.received(), b"");
    proxy.serve(&upstream, b"Moon");
    assert_served(&next, b"Moon");
    assert_eq!(proxy.fetches(), [2, 2, 0, 0]);
}

#[test]
fn s9_without_a_time_to_live_the_clients_that_waited_are_served_and_no_others() {
    let proxy = Proxy::with(Some(Duration::ZERO), Limits::default());
    let upstream = proxy.upstream();
    let waiting = proxy.clients(2);
    proxy.serve(&upstream, b"Stars");
    waiting.iter().for_each(|one| assert_served(one, b"Stars"));
    let _upstream = proxy.upstream();
    assert_eq!(proxy.client().counts().in_flight, 1);
    assert_eq!(proxy.fetches()[0], 2);
}

#[test]
fn s9_while_the_poem_is_sent_fin_does_not_end_it_and_a_peer_that_reads_nothing_is_reset() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let first = proxy.client();
    proxy.serve(&upstream, b"Stars fall");
    assert_served(&first, b"Stars fall");
    let observer = Arc::clone(&proxy.observer) as Arc<dyn Observer>;
    let protocol = proxy.protocol.clone();
    let slow = Connected::observed_with_window(&proxy.node, protocol, 9, observer, 3);
    slow.peer.finish();
    proxy.settle();
    assert_eq!(slow.peer.received(), b"Sta");
    slow.peer.take(3);
    proxy.settle();
    assert_eq!((slow.peer.received().len(), slow.counts().open), (6, 1));
    proxy.node.1.advance(30 * SECOND);
    assert_eq!((slow.counts().closed.write, slow.counts().failed), (1, 1));
    assert!(slow.peer.was_reset());
}

#[test]
fn s21_a_client_that_waits_is_in_flight_and_is_reset_when_the_grace_is_over() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let clients = proxy.clients(2);
    for client in &clients {
        client.process.exit(Reason::Shutdown);
    }
    proxy.settle();
    assert!(clients.iter().all(|client| client.counts().in_flight == 1));
    clients[0].process.kill();
    proxy.settle();
    assert_reset(&clients[0], |counts| counts.closed.cut);
    proxy.serve(&upstream, b"Stars");
    assert_served(&clients[1], b"Stars");
}

#[test]
fn s21_the_last_waiting_client_that_is_cut_cancels_the_fetch() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let client = proxy.client();
    client.process.kill();
    proxy.settle();
    assert!(upstream.ended().1);
    assert_eq!(proxy.fetches(), [1, 0, 0, 1]);
}

#[test]
fn s9_a_panic_of_the_observer_during_the_fetch_is_a_failed_fetch() {
    for interest in [
        Interest::CONNECTING,
        Interest::CONNECTED,
        Interest::READ,
        Interest::FINISHED,
    ] {
        let proxy = Proxy::new();
        let upstream = proxy.upstream();
        let trap = || *proxy.observer.trap.lock().unwrap() = Some(interest);
        let before = interest == Interest::CONNECTING || interest == Interest::CONNECTED;
        if before {
            trap();
        }
        let clients = proxy.clients(if before { 1 } else { 3 });
        trap();
        proxy.serve(&upstream, b"Stars");
        *proxy.observer.trap.lock().unwrap() = None;
        for client in &clients {
            assert_reset(client, |counts| counts.closed.upstream);
        }
        proxy.assert_fetches_again(b"Stars");
        assert_eq!(proxy.fetches(), [2, 1, 1, 0]);
    }
}

#[test]
fn s20_a_client_whose_observer_panics_costs_only_itself() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let clients = proxy.clients(2);
    *proxy.observer.trap.lock().unwrap() = Some(Interest::READ);
    clients[0].peer.send(b"x");
    proxy.settle();
    *proxy.observer.trap.lock().unwrap() = None;
    assert_eq!(clients[0].counts().closed.panic, 1);
    assert!(clients[0].peer.was_reset());
    proxy.serve(&upstream, b"Stars");
    assert_served(&clients[1], b"Stars");
}

#[test]
fn o5_a_cache_that_crashes_is_restarted_and_its_waiting_clients_are_reset() {
    let proxy = Proxy::new();
    let (upstream, cache) = (proxy.upstream(), proxy.cache());
    let clients = proxy.clients(2);
    cache.kill();
    proxy.settle();
    for client in &clients {
        assert_reset(client, |counts| counts.closed.upstream);
    }
    assert!(upstream.ended().1);
    assert_ne!(proxy.cache().id(), cache.id());
    proxy.assert_fetches_again(b"Stars");
    assert_eq!(proxy.fetches(), [2, 1, 0, 1]);
}

#[test]
fn o1_more_clients_than_the_mailbox_holds_ask_at_once() {
    let proxy = Proxy::new();
    let upstream = proxy.upstream();
    let (connected, protocol) = (Arc::new(Mutex::new(Vec::new())), proxy.protocol.clone());
    let (node, peers) = (proxy.node.0.clone(), Arc::clone(&connected));
    let context = Arc::clone(&proxy.context);
    proxy.node.1.at_once(move || {
        for number in 0..1_000 {
            let (protocol, context) = (protocol.clone(), Arc::clone(&context));
            let (_, peer) = testing::connect(&node, protocol, number, context, usize::MAX);
            peers.lock().unwrap().push(peer);
        }
    });
    proxy.node.1.advance(SECOND);
    upstream.send(b"Stars");
    upstream.finish();
    proxy.node.1.advance(SECOND);
    let connected = connected.lock().unwrap();
    assert!(connected.iter().all(|peer| peer.received() == b"Stars"));
    assert_eq!(Counts::from(&*proxy.counters).answered, 1_000);
    assert_eq!(proxy.fetches(), [1, 1, 0, 0]);
}
