//! Clients that wait, leave, stall and are cut, and an upstream that the test plays, over real sockets.

use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use poetry::event::{Event, Interest};
use poetry::{Counts, Limits, Server};
use socket2::SockRef;

mod in_memory;
mod panicking_observers;

const DEADLINE: Duration = Duration::from_secs(10);

/// A proxy, its events, and the upstream listener that the test plays.
struct Fixture {
    server: Option<RunningServer>,
    upstream: TcpListener,
    events: Receiver<Event>,
}

struct Passes(Sender<Event>);

impl Observer for Passes {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        Self::with(limits, None, None)
    }

    fn with(limits: Limits, ttl: Option<Duration>, pool: Option<usize>) -> Self {
        let (sender, events) = mpsc::channel();
        Self::observed(limits, ttl, pool, Arc::new(Passes(sender)), events)
    }

    fn observed(
        limits: Limits,
        ttl: Option<Duration>,
        pool: Option<usize>,
        observer: Arc<dyn Observer>,
        events: Receiver<Event>,
    ) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = ProxyService {
            upstream: upstream.local_addr().unwrap().into(),
            ttl,
        };
        let options = Options {
            limits,
            ..default_options()
        };
        let pool = pool.and_then(NonZeroUsize::new);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = serve_proxy_with(listener, service, pool, &options, observer).unwrap();
        Self {
            server: Some(server),
            upstream,
            events,
        }
    }

    fn server(&self) -> &RunningServer {
        self.server.as_ref().unwrap()
    }

    fn connect(&self) -> TcpStream {
        connect(self.server().address())
    }

    /// Connects `COUNT` clients and waits until all of them wait.
    fn waiting<const COUNT: usize>(&self) -> [TcpStream; COUNT] {
        let before = self.server().counters().requests;
        let clients = [(); COUNT].map(|()| self.connect());
        self.until(|counts| counts.requests == before + COUNT as u64);
        clients
    }

    /// Accepts the next fetch.
    fn fetch(&self) -> TcpStream {
        self.upstream.accept().unwrap().0
    }

    fn until(&self, reached: impl Fn(&Counts) -> bool) -> Counts {
        let begun = Instant::now();
        loop {
            let counts = self.server().counters();
            assert_eq!(counts.check(), Ok(()));
            if reached(&counts) {
                return counts;
            }
            assert!(begun.elapsed() < DEADLINE, "{counts:?}");
            std::thread::yield_now();
        }
    }

    fn shutdown(&mut self, grace: Duration) -> poetry::Summary {
        let summary = self.server.take().unwrap().shutdown(grace);
        assert_eq!(summary.counters.check(), Ok(()));
        assert_eq!(summary.counters.fetches.under_way, 0);
        summary
    }

    /// Returns how the fetches so far have ended.
    fn ends(&self) -> Vec<(u64, Kind)> {
        let ends = self.events.try_iter().filter(|event| {
            event.role == Role::PoemClient
                && matches!(event.kind, Kind::Finished { .. } | Kind::Failed(_))
        });
        ends.map(|event| (event.scene.task, event.kind)).collect()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads to the end, and finishes too, so that the connection does not linger.
fn read(stream: &TcpStream) -> String {
    let text = read_only(stream);
    let _ = stream.shutdown(Shutdown::Write);
    text
}

fn read_only(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Asserts that the connection is reset before a byte arrives.
fn assert_reset(mut stream: &TcpStream) {
    let reset = stream.read(&mut [0]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

/// Asserts that the other end has closed.
fn assert_closed(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match stream.read(&mut [0]) {
        Ok(length) => assert_eq!(length, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn s9_many_clients_share_one_fetch_and_nothing_is_sent_before_its_end() {
    for pool in [None, Some(20)] {
        let mut fixture = Fixture::with(Limits::default(), None, pool);
        let clients: [TcpStream; 20] = fixture.waiting();
        let mut upstream = fixture.fetch();
        upstream.write_all(b"half a po").unwrap();
        let read_half = |event: Event| event.kind == Kind::Read { bytes: 9 };
        while !read_half(fixture.events.recv_timeout(DEADLINE).unwrap()) {}
        for mut client in &clients {
            client.set_nonblocking(true).unwrap();
            let nothing = client.read(&mut [0]).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
            client.set_nonblocking(false).unwrap();
        }
        upstream.write_all(b"em").unwrap();
        drop(upstream);
        for client in clients {
            assert_eq!(read(&client), "half a poem");
        }
        assert_eq!(read(&fixture.connect()), "half a poem");
        let counts = fixture.shutdown(DEADLINE).counters;
        assert_eq!((counts.answered, counts.closed.done), (21, 21));
        assert_eq!((counts.fetches.begun, counts.fetches.cached), (1, 1));
        assert_eq!(fixture.ends(), [(0, Kind::Finished { bytes: 11 })]);
    }
}

#[test]
fn s9_clients_leave_in_every_order_by_fin_and_by_reset_and_the_last_one_cancels_the_fetch() {
    let mut fixture = Fixture::new(Limits::default());
    let leaves = |order: [usize; 3], resets: bool, fetch: u64| {
        let mut clients = fixture.waiting::<3>().map(Some);
        let upstream = fixture.fetch();
        for (gone, index) in order.into_iter().enumerate() {
            let before = fixture.server().counters();
            assert_eq!(before.fetches.under_way, 1);
            let client = clients[index].take().unwrap();
            if resets {
                reset(client);
            } else {
                finish(&client);
                assert_reset(&client);
            }
            fixture.until(|counts| {
                counts.in_flight == 2 - gone as u64 && counts.open == counts.in_flight
            });
        }
        assert_closed(&upstream);
        let counts = fixture.until(|counts| counts.fetches.under_way == 0);
        assert_eq!(counts.fetches.cancelled, fetch + 1);
    };
    leaves([0, 1, 2], false, 0);
    leaves([2, 1, 0], true, 1);
    leaves([1, 2, 0], false, 2);
    leaves([1, 0, 2], true, 3);
    leaves([2, 0, 1], false, 4);
    leaves([0, 2, 1], true, 5);
    let [client] = fixture.waiting();
    fixture.fetch().write_all(b"Ahoy").unwrap();
    assert_eq!(read(&client), "Ahoy");
    let counts = fixture.shutdown(DEADLINE).counters;
    assert_eq!((counts.closed.left, counts.closed.reset), (9, 9));
    assert_eq!((counts.failed, counts.answered), (18, 1));
}

#[test]
fn s9_a_client_that_leaves_disturbs_no_other() {
    let mut fixture = Fixture::new(Limits::default());
    let [leaves, resets, stays] = fixture.waiting();
    let mut upstream = fixture.fetch();
    finish(&leaves);
    reset(resets);
    fixture.until(|counts| counts.in_flight == 1);
    let [late] = fixture.waiting();
    upstream.write_all(b"Ahoy").unwrap();
    drop(upstream);
    assert_eq!(
        (read(&stays), read(&late)),
        ("Ahoy".to_owned(), "Ahoy".to_owned())
    );
    assert_eq!(fixture.shutdown(DEADLINE).counters.fetches.cached, 1);
}

#[test]
fn s9_each_failed_fetch_resets_its_clients_is_reported_once_and_is_followed_by_another() {
    let limits = Limits {
        poem_bytes_max: 9,
        ..Limits::default()
    };
    let mut fixture = Fixture::new(limits);
    let fails: [fn(TcpStream); 4] = [
        |_closes_at_once| (),
        |mut upstream| {
            upstream.write_all(b"half").unwrap();
            reset(upstream);
        },
        |mut upstream| upstream.write_all(b"not \xff").unwrap(),
        |mut upstream| {
            upstream.write_all(b"ten bytes.").unwrap();
            assert_closed(&upstream);
        },
    ];
    for fail in fails {
        let clients: [TcpStream; 5] = fixture.waiting();
        fail(fixture.fetch());
        clients.iter().for_each(assert_reset);
    }
    let [client] = fixture.waiting();
    fixture.fetch().write_all(b"Ahoy").unwrap();
    assert_eq!(read(&client), "Ahoy");
    let counts = fixture.shutdown(DEADLINE).counters;
    assert_eq!((counts.closed.upstream, counts.failed), (20, 20));
    assert_eq!((counts.fetches.failed, counts.fetches.cached), (4, 1));
    let ends = fixture.ends();
    assert_eq!(ends[0], (0, Kind::Failed(FetchFailure::Empty)));
    assert!(matches!(
        &ends[1].1,
        Kind::Failed(FetchFailure::ConnectionLost { .. })
    ));
    assert_eq!(ends[2], (2, Kind::Failed(FetchFailure::NotUtf8 { at: 4 })));
    assert_eq!(
        ends[3],
        (3, Kind::Failed(FetchFailure::TooLong { limit: 9 }))
    );
    assert_eq!(ends[4], (4, Kind::Finished { bytes: 4 }));
    assert_eq!(ends.len(), 5);
}

#[test]
fn s9_an_upstream_that_is_not_there_is_a_failed_fetch() {
    let mut fixture = Fixture::new(Limits::default());
    let dead = std::mem::replace(
        &mut fixture.upstream,
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    drop(dead);
    assert_reset(&fixture.connect());
    let counts = fixture.until(|counts| counts.closed.upstream == 1);
    assert_eq!(counts.fetches.failed, 1);
}

#[test]
fn s9_a_poem_without_time_to_live_is_fetched_for_the_clients_that_wait_only() {
    let mut fixture = Fixture::with(Limits::default(), Some(Duration::ZERO), None);
    for text in ["one", "two"] {
        let clients: [TcpStream; 3] = fixture.waiting();
        fixture.fetch().write_all(text.as_bytes()).unwrap();
        for client in clients {
            assert_eq!(read(&client), text);
        }
    }
    assert_eq!(fixture.shutdown(DEADLINE).counters.fetches.cached, 2);
}

#[test]
fn s21_a_waiting_client_gets_its_poem_within_the_grace() {
    let fixture = Fixture::new(Limits::default());
    let [client] = fixture.waiting();
    let mut upstream = fixture.fetch();
    let server = fixture.server();
    let summary = std::thread::scope(|scope| {
        let stops = scope.spawn(|| server.stop(DEADLINE));
        while !server.is_stopping() {
            std::thread::yield_now();
        }
        upstream.write_all(b"Ahoy").unwrap();
        drop(upstream);
        assert_eq!(read(&client), "Ahoy");
        stops.join().unwrap()
    });
    assert_eq!((summary.finished, summary.cut), (1, 0));
    assert_eq!(summary.counters.fetches.cached, 1);
}

#[test]
fn s21_waiting_clients_are_reset_when_the_grace_is_over_and_their_fetch_is_cancelled() {
    for pool in [None, Some(2)] {
        let mut fixture = Fixture::with(Limits::default(), None, pool);
        let clients: [TcpStream; 2] = fixture.waiting();
        let upstream = fixture.fetch();
        let summary = fixture.shutdown(Duration::from_millis(10));
        assert_eq!((summary.finished, summary.cut), (0, 2));
        assert_eq!(summary.counters.closed.cut, 2);
        assert_eq!(summary.counters.fetches.cancelled, 1);
        clients.iter().for_each(assert_reset);
        assert_closed(&upstream);
    }
}

#[test]
fn s21_a_waiting_client_that_sends_all_the_time_is_cut_too() {
    let mut fixture = Fixture::new(Limits::default());
    let [client] = fixture.waiting();
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| while (&client).write_all(&[b'x'; 10_000]).is_ok() {});
        fixture.until(|counts| counts.bytes_in > 1_000_000);
        assert_eq!(fixture.shutdown(Duration::from_millis(10)).cut, 1);
        sends.join().unwrap();
    });
}

/// The kernel would answer a byte that arrives after the read side was shut down with a reset.
#[test]
fn s7_a_client_that_sends_before_during_and_after_the_poem_gets_it_whole() {
    let text = "A long line of a poem.\n".repeat(200_000);
    let mut fixture = Fixture::new(Limits::default());
    let clients: [TcpStream; 3] = fixture.waiting();
    let mut upstream = fixture.fetch();
    let send = |mut client: &TcpStream| client.write_all(&[b'x'; 100_000]).unwrap();
    clients.iter().for_each(send);
    upstream.write_all(text.as_bytes()).unwrap();
    drop(upstream);
    for client in &clients {
        let mut start = vec![0; text.len() / 2];
        { client }.read_exact(&mut start).unwrap();
        send(client);
        assert_eq!(String::from_utf8(start).unwrap() + &read_only(client), text);
        send(client);
        finish(client);
    }
    let counts = fixture.until(|counts| counts.open == 0);
    assert_eq!((counts.closed.done, counts.bytes_in), (3, 900_000));
    fixture.shutdown(DEADLINE);
}

#[test]
fn s7_a_client_that_never_finishes_lingers_within_bounds_and_is_closed() {
    let limits = Limits {
        linger_timeout: Duration::from_millis(50),
        linger_bytes_max: 1_000_000,
        ..Limits::default()
    };
    let fixture = Fixture::new(limits);
    let [silent, floods] = fixture.waiting();
    fixture.fetch().write_all(b"Ahoy").unwrap();
    while (&floods).write_all(&[b'x'; 10_000]).is_ok() {}
    assert_eq!(read(&silent), "Ahoy");
    let counts = fixture.until(|counts| counts.open == 0);
    assert_eq!((counts.answered, counts.closed.done), (2, 2));
}

#[test]
fn s18_a_client_that_takes_nothing_of_the_poem_is_reset_after_the_write_timeout() {
    let text = "A long line of a poem.\n".repeat(1_000_000);
    let limits = Limits {
        write_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let fixture = Fixture::new(limits);
    let [stalls] = fixture.waiting();
    fixture.fetch().write_all(text.as_bytes()).unwrap();
    let counts = fixture.until(|counts| counts.open == 0);
    assert_eq!((counts.closed.write, counts.failed), (1, 1));
    let lost = { &stalls }.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn t1_a_waiting_client_holds_a_thread_of_a_pool() {
    let mut fixture = Fixture::with(Limits::default(), None, Some(1));
    let [first] = fixture.waiting();
    let second = fixture.connect();
    fixture.until(|counts| counts.accepted == 2);
    let mut upstream = fixture.fetch();
    // The second has no thread, so it has not asked for the poem, and its leaving would not be noticed yet.
    assert_eq!(fixture.server().counters().requests, 1);
    upstream.write_all(b"Ahoy").unwrap();
    drop(upstream);
    assert_eq!(read(&first), "Ahoy");
    drop(first);
    assert_eq!(read(&second), "Ahoy");
    drop(second);
    assert_eq!(fixture.shutdown(DEADLINE).counters.fetches.begun, 1);
}

#[test]
fn t1_with_all_threads_for_connections_waiting_clients_have_one_thread_and_still_share_and_leave() {
    let limits = Limits {
        connections_max: usize::MAX,
        ..Limits::default()
    };
    let fixture = Fixture::new(limits);
    let [leaves, stays] = fixture.waiting();
    let mut upstream = fixture.fetch();
    finish(&leaves);
    assert_reset(&leaves);
    upstream.write_all(b"Ahoy").unwrap();
    drop(upstream);
    assert_eq!(read(&stays), "Ahoy");
    let counts = fixture.until(|counts| counts.open == 0);
    assert_eq!((counts.closed.left, counts.closed.done), (1, 1));
}

#[test]
fn t3_a_dropped_proxy_ends_with_its_clients() {
    let mut fixture = Fixture::new(Limits::default());
    let [client] = fixture.waiting();
    let upstream = fixture.fetch();
    let server: Box<dyn Server> = Box::new(fixture.server.take().unwrap());
    drop(server);
    assert_reset(&client);
    assert_closed(&upstream);
}
