//! The proxy in memory, on virtual time (S9): clients that share a fetch and leave it in every order, fetches that fail,
//! times to live to the nanosecond, and shutdowns.

mod common;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callbacks::{
    Factory, FetchFailure, Limits, MemoryPeer, MemoryReactor, Observer, Peer, ProxyService,
    Reporter, Role, ServerState, event::Clock, event::Event, event::Interest, event::Kind, log,
    proxy_factory,
};
use poetry::Counts;
use poetry::error::Timeout;

use common::{SECOND, unhandled};

const INSTANT: Duration = Duration::from_nanos(1);

/// Keeps all events, and panics at those that a test chooses.
struct Journal {
    events: Mutex<Vec<Event>>,
    panics_at: fn(&Event) -> bool,
}

impl Observer for Journal {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
        assert!(!(self.panics_at)(event), "an observer that panics");
    }
}

/// A proxy in memory, whose upstream is the test.
struct Setup {
    reactor: MemoryReactor,
    state: Rc<ServerState>,
    factory: Rc<dyn Factory>,
    journal: Arc<Journal>,
}

impl Setup {
    fn new(ttl: Option<Duration>) -> Self {
        Self::with(ttl, Limits::default(), |_| false)
    }

    fn with(ttl: Option<Duration>, limits: Limits, panics_at: fn(&Event) -> bool) -> Self {
        let journal = Arc::new(Journal {
            events: Mutex::default(),
            panics_at,
        });
        let observer = Arc::clone(&journal) as Arc<dyn Observer>;
        let reporter = Reporter::new("callbacks", Role::Proxy, Clock::stopped(), observer);
        let (reactor, state) = (MemoryReactor::new(), ServerState::new(limits, reporter));
        let upstream = "10001".parse::<Peer>().unwrap();
        let factory = proxy_factory(&reactor, ProxyService { upstream, ttl }, &state);
        Self {
            reactor,
            state,
            factory,
            journal,
        }
    }

    fn join(&self) -> MemoryPeer {
        self.reactor.accept(&self.factory)
    }

    fn join_all<const N: usize>(&self) -> [MemoryPeer; N] {
        std::array::from_fn(|_| self.join())
    }

    /// Returns the upstream's end of the one fetch that has begun since the last call.
    fn upstream(&self) -> MemoryPeer {
        let mut dialled = self.reactor.dialled();
        assert_eq!(dialled.len(), 1, "fetches begun");
        dialled.remove(0)
    }

    fn serve(&self, upstream: &MemoryPeer, poem: &str) {
        upstream.accept();
        upstream.send(poem.as_bytes());
        upstream.finish();
        self.reactor.settle();
    }

    fn counts(&self) -> Counts {
        let counts = self.state.counts();
        counts.check().unwrap();
        counts
    }

    /// Fetches begun, cached, failed and cancelled.
    fn fetches(&self) -> [u64; 4] {
        let fetches = self.counts().fetches;
        [
            fetches.begun,
            fetches.cached,
            fetches.failed,
            fetches.cancelled,
        ]
    }

    fn failures(&self) -> Vec<(u64, FetchFailure)> {
        let events = self.journal.events.lock().unwrap();
        let of_fetches = events.iter().filter(|event| event.role == Role::PoemClient);
        of_fetches
            .filter_map(|event| match &event.kind {
                Kind::Failed(failure) => Some((event.scene.task, failure.clone())),
                _ => None,
            })
            .collect()
    }
}

/// How a client leaves.
type Leave = fn(&MemoryPeer);

const BY_FIN: Leave = MemoryPeer::finish;
const BY_RESET: Leave = |peer| peer.fail(ErrorKind::ConnectionReset);

#[test]
fn s9_clients_that_miss_share_one_fetch_and_later_ones_hit() {
    let setup = Setup::new(None);
    let waiting = setup.join_all::<3>();
    let upstream = setup.upstream();
    upstream.accept();
    upstream.send(b"half a ");
    setup.reactor.settle();
    let joined = setup.join();
    assert!(waiting.iter().all(|peer| peer.received().is_empty()));
    setup.serve(&upstream, "poem");
    for peer in waiting.iter().chain([&joined, &setup.join()]) {
        assert_eq!(peer.received(), b"half a poem");
        assert!(peer.sees_fin());
        peer.finish();
    }
    setup.reactor.settle();
    assert_eq!(setup.fetches(), [1, 1, 0, 0]);
    let counts = setup.counts();
    assert_eq!((counts.answered, counts.closed.done), (5, 5));
    assert!(setup.reactor.dialled().is_empty());
}

#[test]
fn s9_clients_leave_in_every_order_and_only_the_last_cancels_the_fetch() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let ways = [(BY_FIN, (3, 0)), (BY_RESET, (0, 3))];
    for (order, (leave, ends)) in orders.into_iter().zip(ways.into_iter().cycle()) {
        let reported = unhandled();
        let setup = Setup::new(None);
        let clients = setup.join_all::<3>();
        let upstream = setup.upstream();
        upstream.accept();
        setup.reactor.settle();
        for (gone, which) in order.into_iter().enumerate() {
            assert!(!upstream.is_closed());
            leave(&clients[which]);
            setup.reactor.settle();
            assert!(clients[which].is_closed());
            assert_eq!(clients[which].is_reset(), ends.0 > 0);
            assert_eq!(setup.counts().open, 2 - gone as u64);
        }
        assert!(upstream.is_closed());
        assert_eq!(setup.fetches(), [1, 0, 0, 1]);
        let counts = setup.counts();
        assert_eq!((counts.closed.left, counts.closed.reset), ends);
        assert_eq!(counts.failed, 3);
        assert_eq!(reported.get(), 0);
    }
}

#[test]
fn s9_one_that_leaves_does_not_disturb_the_others() {
    for which in 0..3 {
        let setup = Setup::new(None);
        let clients = setup.join_all::<3>();
        BY_FIN(&clients[which]);
        setup.reactor.settle();
        setup.serve(&setup.upstream(), "a poem");
        for (number, client) in clients.iter().enumerate() {
            let expected: &[u8] = if number == which { b"" } else { b"a poem" };
            assert_eq!(client.received(), expected);
        }
        assert_eq!(setup.fetches(), [1, 1, 0, 0]);
    }
}

#[test]
fn s9_a_client_that_joins_as_the_last_one_leaves_gets_a_fetch_that_goes_on() {
    let setup = Setup::new(None);
    let leaving = setup.join();
    let first = setup.upstream();
    first.accept();
    setup.reactor.settle();
    // In one turn: the new one joins before the FIN is read.
    BY_FIN(&leaving);
    let joins = setup.join();
    let fetch = match first.is_closed() {
        true => setup.upstream(),
        false => first,
    };
    setup.serve(&fetch, "a poem");
    assert_eq!(joins.received(), b"a poem");
    assert!(leaving.received().is_empty());

    // In two turns: the fetch is cancelled, and the new one begins another.
    let setup = Setup::new(None);
    let leaving = setup.join();
    let cancelled = setup.upstream();
    BY_RESET(&leaving);
    setup.reactor.settle();
    let joins = setup.join();
    let fetch = setup.upstream();
    assert!(cancelled.is_closed());
    // What the old upstream does no longer matters.
    cancelled.accept();
    cancelled.send(b"an old poem");
    cancelled.finish();
    setup.serve(&fetch, "a new poem");
    assert_eq!(joins.received(), b"a new poem");
    assert_eq!(setup.fetches(), [2, 1, 0, 1]);
}

#[test]
fn s9_the_poem_and_the_last_clients_reset_in_the_same_turn() {
    let setup = Setup::new(None);
    let client = setup.join();
    let upstream = setup.upstream();
    upstream.accept();
    setup.reactor.settle();
    upstream.send(b"a poem");
    upstream.finish();
    BY_RESET(&client);
    setup.reactor.settle();
    assert!(client.is_closed());
    assert_eq!(setup.fetches(), [1, 1, 0, 0]);
    let counts = setup.counts();
    assert_eq!((counts.closed.reset, counts.failed), (1, 1));
    assert_eq!(setup.join().received(), b"a poem");
}

#[test]
fn s9_fin_means_nothing_while_the_poem_is_sent() {
    let setup = Setup::new(None);
    let client = setup.join();
    client.limit_room(3);
    setup.serve(&setup.upstream(), "a poem");
    client.finish();
    setup.reactor.settle();
    assert!(!client.is_closed());
    client.limit_room(100);
    setup.reactor.settle();
    assert_eq!(client.received(), b"a poem");
    assert_eq!(setup.counts().closed.done, 1);
}

/// Three clients wait for a fetch that `fail` makes fail with `failure`; the next client begins a new one.
fn fails(fail: impl Fn(&Setup, &MemoryPeer), failure: impl Fn(&FetchFailure) -> bool) {
    let reported = unhandled();
    let limits = Limits {
        poem_bytes_max: 10,
        connect_timeout: SECOND,
        idle_timeout: SECOND * 2,
        total_deadline: Some(SECOND * 5),
        ..Limits::default()
    };
    let setup = Setup::with(None, limits, |_| false);
    let clients = setup.join_all::<3>();
    fail(&setup, &setup.upstream());
    setup.reactor.settle();
    for client in &clients {
        assert!(client.is_reset() && client.received().is_empty());
    }
    let failures = setup.failures();
    assert!(
        matches!(&failures[..], [(0, actual)] if failure(actual)),
        "{failures:?}"
    );
    let counts = setup.counts();
    assert_eq!((counts.closed.upstream, counts.failed), (3, 3));
    let next = setup.join();
    setup.serve(&setup.upstream(), "a poem");
    assert_eq!(next.received(), b"a poem");
    assert_eq!(setup.fetches(), [2, 1, 1, 0]);
    assert_eq!(reported.get(), 0);
}

#[test]
fn s9_a_failed_fetch_resets_its_clients_and_is_never_cached() {
    fails(
        |_, upstream| upstream.fail(ErrorKind::ConnectionRefused),
        |failure| matches!(failure, FetchFailure::ConnectionFailed { .. }),
    );
    fails(
        |setup, _| setup.reactor.advance(SECOND),
        |failure| *failure == FetchFailure::connect_timed_out(),
    );
    let after = |bytes: &'static [u8], act: fn(&Setup, &MemoryPeer)| {
        move |setup: &Setup, upstream: &MemoryPeer| {
            upstream.accept();
            upstream.send(bytes);
            setup.reactor.settle();
            act(setup, upstream);
        }
    };
    let fin = |_: &Setup, upstream: &MemoryPeer| upstream.finish();
    fails(after(b"", fin), |failure| *failure == FetchFailure::Empty);
    fails(after(b"caf\xe9", fin), |failure| {
        *failure == FetchFailure::NotUtf8 { at: 3 }
    });
    fails(after(b"0123456789a", |_, _| ()), |failure| {
        *failure == FetchFailure::TooLong { limit: 10 }
    });
    fails(
        after(b"half", |setup, _| setup.reactor.advance(SECOND * 2)),
        |failure| *failure == FetchFailure::TimedOut(Timeout::Idle),
    );
    fails(
        after(b"half", |_, upstream| BY_RESET(upstream)),
        |failure| matches!(failure, FetchFailure::ConnectionLost { .. }),
    );
}

#[test]
fn s9_a_fetch_that_fails_before_it_begins_resets_its_client() {
    let reporter = Reporter::new(
        "callbacks",
        Role::Proxy,
        Clock::stopped(),
        Arc::new(callbacks::Unobserved),
    );
    let (reactor, state) = (
        MemoryReactor::new(),
        ServerState::new(Limits::default(), reporter),
    );
    let upstream = Peer::unresolved("no.such.name:1", "no such name");
    let service = ProxyService {
        upstream,
        ttl: None,
    };
    let factory = proxy_factory(&reactor, service, &state);
    for _ in 0..2 {
        assert!(reactor.accept(&factory).is_reset());
    }
    let counts = state.counts();
    assert_eq!((counts.fetches.begun, counts.fetches.failed), (2, 2));
    assert_eq!(counts.closed.upstream, 2);
}

#[test]
fn s9_a_poem_is_served_until_its_time_to_live_is_over() {
    let setup = Setup::new(Some(SECOND));
    let first = setup.join();
    setup.reactor.advance(SECOND * 3); // The time of the fetch does not count.
    setup.serve(&setup.upstream(), "one");
    assert_eq!(first.received(), b"one");
    setup.reactor.advance(SECOND - INSTANT);
    assert_eq!(setup.join().received(), b"one");
    setup.reactor.advance(INSTANT);
    let second = setup.join();
    assert!(second.received().is_empty());
    setup.serve(&setup.upstream(), "two");
    assert_eq!(second.received(), b"two");
    assert_eq!(setup.fetches(), [2, 2, 0, 0]);
}

#[test]
fn s9_without_time_to_live_those_who_wait_share_the_poem_and_the_next_fetches() {
    let setup = Setup::new(Some(Duration::ZERO));
    let waiting = setup.join_all::<2>();
    setup.serve(&setup.upstream(), "one");
    assert!(waiting.iter().all(|peer| peer.received() == b"one"));
    let next = setup.join();
    setup.serve(&setup.upstream(), "two");
    assert_eq!(next.received(), b"two");
}

#[test]
fn s18_a_stalled_reader_is_reset_and_the_others_are_served() {
    let limits = Limits {
        write_timeout: SECOND,
        ..Limits::default()
    };
    let setup = Setup::with(None, limits, |_| false);
    let (waits, reads) = (setup.join(), setup.join());
    waits.limit_room(2);
    setup.reactor.advance(SECOND * 9); // A client that waits has no timeout.
    setup.serve(&setup.upstream(), "a poem");
    let hits = setup.join();
    assert_eq!(
        (reads.received(), hits.received()),
        (b"a poem".into(), b"a poem".into())
    );
    setup.reactor.advance(SECOND);
    assert!(waits.is_reset());
    assert_eq!(setup.counts().closed.write, 1);
}

#[test]
fn s21_clients_that_wait_are_served_within_the_grace() {
    let setup = Setup::new(None);
    let clients = setup.join_all::<2>();
    let upstream = setup.upstream();
    let ended = setup.state.shut_down(&setup.reactor, SECOND);
    setup.reactor.settle();
    assert!(!ended.has_fired() && !upstream.is_closed());
    setup.serve(&upstream, "in time");
    for client in &clients {
        assert_eq!(client.received(), b"in time");
        client.finish();
    }
    setup.reactor.settle();
    assert!(ended.has_fired());
    assert_eq!(setup.counts().closed.done, 2);
}

#[test]
fn s21_clients_that_wait_are_reset_when_the_grace_is_over() {
    for accepts in [false, true] {
        let setup = Setup::new(None);
        let clients = setup.join_all::<2>();
        let upstream = setup.upstream();
        if accepts {
            upstream.accept();
        }
        let ended = setup.state.shut_down(&setup.reactor, SECOND);
        setup.reactor.advance(SECOND);
        assert!(clients.iter().all(MemoryPeer::is_reset));
        assert!(ended.has_fired() && upstream.is_closed());
        assert_eq!(setup.fetches(), [1, 0, 0, 1]);
        let counts = setup.counts();
        assert_eq!((counts.closed.cut, counts.failed), (2, 2));
    }
}

#[test]
fn s21_the_last_client_that_leaves_during_the_grace_ends_the_server() {
    let setup = Setup::new(None);
    let client = setup.join();
    let upstream = setup.upstream();
    let ended = setup.state.shut_down(&setup.reactor, SECOND);
    BY_FIN(&client);
    setup.reactor.settle();
    assert!(ended.has_fired() && upstream.is_closed());
    assert_eq!(setup.fetches(), [1, 0, 0, 1]);
}

#[test]
fn s20_a_panic_during_a_fetch_leaves_no_client_waiting() {
    let panics_at: [fn(&Event) -> bool; 4] = [
        |event| event.kind == Kind::Connecting,
        |event| event.kind == Kind::Connected,
        |event| event.role == Role::PoemClient && matches!(event.kind, Kind::Read { .. }),
        |event| matches!(event.kind, Kind::Finished { .. } | Kind::Failed(_)),
    ];
    for panics_at in panics_at {
        log::set_hook(|_| ());
        let setup = Setup::with(None, Limits::default(), panics_at);
        let clients = setup.join_all::<2>();
        for upstream in setup.reactor.dialled() {
            setup.serve(&upstream, "a poem");
        }
        for client in &clients {
            assert!(client.is_reset() && client.received().is_empty());
        }
        let counts = setup.counts();
        assert_eq!((counts.open, counts.in_flight), (0, 0));
        assert_eq!(counts.fetches.under_way, 0);
        assert_eq!(counts.fetches.failed, counts.fetches.begun);
    }
}

fn of_first_client(event: &Event) -> bool {
    (event.role, event.scene.task) == (Role::Proxy, 0)
}

#[test]
fn s20_a_panic_about_one_client_costs_that_client_only() {
    let panics_at: [fn(&Event) -> bool; 3] = [
        |event| of_first_client(event) && event.kind == Kind::Accepted,
        |event| of_first_client(event) && matches!(event.kind, Kind::Wrote { .. }),
        |event| of_first_client(event) && matches!(event.kind, Kind::Read { .. }),
    ];
    for panics_at in panics_at {
        log::set_hook(|_| ());
        let setup = Setup::with(None, Limits::default(), panics_at);
        let [bad, good] = setup.join_all::<2>();
        bad.send(b"hello");
        setup.reactor.settle();
        setup.serve(&setup.upstream(), "a poem");
        assert!(bad.is_closed());
        assert_eq!(good.received(), b"a poem");
        let counts = setup.counts();
        assert_eq!((counts.closed.panic, counts.answered), (1, 1));
    }
}

#[test]
fn s20_an_observer_that_panics_at_every_event_of_a_client_costs_its_clients_only() {
    log::set_hook(|_| ());
    let panics_at = |event: &Event| event.role == Role::Proxy;
    let setup = Setup::with(None, Limits::default(), panics_at);
    let clients = setup.join_all::<3>();
    assert!(clients.iter().all(MemoryPeer::is_closed));
    assert_eq!(setup.counts().closed.panic, 3);
    // Each client began a fetch, if it came that far, and left it.
    assert!(setup.reactor.dialled().iter().all(MemoryPeer::is_closed));
}
