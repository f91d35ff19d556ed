//! The proxy over real sockets and on several threads.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::{Interest, Unobserved};
use poetry::{Clock, Counts, Event, Observer, Options, ProxyService, Role, panics};
use socket2::SockRef;
use streams::{RunningServer, serve_proxy_with};

const GENEROUS: Duration = Duration::from_secs(10);
const THREADS: usize = 3;

fn options() -> Options {
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(THREADS).unwrap();
    options
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn serve(upstream: &TcpListener, options: &Options, observer: Arc<dyn Observer>) -> RunningServer {
    let service = ProxyService {
        upstream: upstream.local_addr().unwrap().into(),
        ttl: None,
    };
    serve_proxy_with(listen(), service, options, observer).unwrap()
}

fn accept(upstream: &TcpListener) -> TcpStream {
    let socket = upstream.accept().unwrap().0;
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    socket
}

fn connect(server: &RunningServer) -> TcpStream {
    let socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    socket
}

/// Connects clients that wait for the poem by the time this returns.
fn waiting(server: &RunningServer, count: usize) -> Vec<TcpStream> {
    let before = server.counters().in_flight;
    let clients = (0..count).map(|_| connect(server)).collect();
    wait_until(server, |counts| counts.in_flight == before + count as u64);
    clients
}

fn wait_until(server: &RunningServer, wanted: impl Fn(&Counts) -> bool) {
    let began = std::time::Instant::now();
    while !wanted(&server.counters()) {
        assert!(began.elapsed() < GENEROUS, "{:?}", server.counters());
        std::thread::yield_now();
    }
}

fn read_all(mut socket: &TcpStream) -> Result<String, ErrorKind> {
    let mut poem = String::new();
    let read = socket.read_to_string(&mut poem);
    read.map(|_| poem).map_err(|error| error.kind())
}

fn reset(socket: &TcpStream) {
    SockRef::from(socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Whether a client of `upstream` waits to be accepted.
fn has_another(upstream: &TcpListener) -> bool {
    upstream.set_nonblocking(true).unwrap();
    upstream.accept().is_ok()
}

#[test]
fn s9_the_clients_of_all_threads_share_one_fetch() {
    let upstream = listen();
    let server = serve(&upstream, &options(), Arc::new(Unobserved));
    let clients = waiting(&server, 10 * THREADS);
    let mut poem = accept(&upstream);
    poem.write_all(b"a poem ").unwrap();
    poem.write_all(b"in two pieces").unwrap();
    drop(poem);
    for client in &clients {
        assert_eq!(read_all(client).as_deref(), Ok("a poem in two pieces"));
    }
    assert_eq!(
        read_all(&connect(&server)).as_deref(),
        Ok("a poem in two pieces")
    );
    assert!(!has_another(&upstream));
    drop(clients);
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!(counts.check(), Ok(()));
    assert_eq!((counts.fetches.begun, counts.fetches.cached), (1, 1));
    assert_eq!(counts.closed.done, 10 * THREADS as u64 + 1);
}

#[test]
fn s9_the_last_client_that_leaves_closes_the_upstream_connection_from_any_thread() {
    let upstream = listen();
    let server = serve(&upstream, &options(), Arc::new(Unobserved));
    // Each thread begins a fetch in turn, and each time another one has the last client.
    for last in 0..2 * THREADS {
        let mut clients = waiting(&server, 2 * THREADS - 1);
        let mut poem = accept(&upstream);
        poem.write_all(b"a part of a poem").unwrap();
        let last = clients.remove(last % (2 * THREADS - 1));
        for (at, client) in clients.into_iter().enumerate() {
            if at % 2 == 0 {
                reset(&client);
            }
        }
        let left = |counts: &Counts| counts.in_flight == 1;
        wait_until(&server, left);
        assert_eq!(server.counters().fetches.under_way, 1);
        last.shutdown(Shutdown::Write).unwrap();
        let end = poem.read(&mut [0; 1]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)));
        wait_until(&server, |counts| {
            counts.fetches.under_way == 0 && counts.open == 0
        });
    }
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!(counts.check(), Ok(()));
    assert_eq!(counts.fetches.cancelled, 2 * THREADS as u64);
    assert_eq!(counts.closed.left + counts.closed.reset, counts.accepted);
    assert!(counts.closed.left > 0 && counts.closed.reset > 0);
}

#[test]
fn s9_a_fetch_that_fails_resets_all_who_wait_and_is_never_cached() {
    let upstream = listen();
    let mut options = options();
    options.limits.poem_bytes_max = 100;
    let server = serve(&upstream, &options, Arc::new(Unobserved));
    let failures: [fn(TcpStream); 4] = [
        |poem| reset(&poem),
        |poem| drop(poem),
        |mut poem| poem.write_all(b"ab\xff").unwrap(),
        |mut poem| poem.write_all(&[b'x'; 101]).unwrap(),
    ];
    for fail in failures {
        let clients = waiting(&server, 2 * THREADS);
        fail(accept(&upstream));
        for client in &clients {
            assert_eq!(read_all(client), Err(ErrorKind::ConnectionReset));
        }
    }
    let client = &waiting(&server, 1)[0];
    accept(&upstream).write_all(b"at last").unwrap();
    assert_eq!(read_all(client).as_deref(), Ok("at last"));
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!((counts.fetches.failed, counts.fetches.cached), (4, 1));
    assert_eq!(counts.closed.upstream, 8 * THREADS as u64);
}

#[test]
fn s21_clients_that_wait_when_the_grace_ends_are_reset_and_cut() {
    let upstream = listen();
    let server = serve(&upstream, &options(), Arc::new(Unobserved));
    let clients = waiting(&server, 2 * THREADS);
    let summary = server.shutdown(Duration::from_millis(20));
    for client in &clients {
        assert_eq!(read_all(client), Err(ErrorKind::ConnectionReset));
    }
    let counts = &summary.counters;
    assert_eq!((summary.cut, counts.closed.cut), (6, 6));
    assert_eq!((counts.fetches.cancelled, counts.check()), (1, Ok(())));
}

#[test]
fn s21_a_waiting_client_gets_its_poem_within_the_grace() {
    let upstream = listen();
    let server = serve(&upstream, &options(), Arc::new(Unobserved));
    let clients = waiting(&server, 2 * THREADS);
    let mut poem = accept(&upstream);
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| server.shutdown(GENEROUS));
        poem.write_all(b"in time").unwrap();
        drop(poem);
        for client in clients {
            assert_eq!(read_all(&client).as_deref(), Ok("in time"));
        }
        let summary = stopped.join().unwrap();
        assert_eq!((summary.cut, summary.counters.closed.done), (0, 6));
    });
}

/// Panics when a fetch is at a certain point.
struct PanicsAt(Interest);

impl Observer for PanicsAt {
    fn interest(&self) -> Interest {
        self.0
    }

    fn observe(&self, event: &Event) {
        if event.role == Role::PoemClient {
            panic!("observed {:?}", event.kind);
        }
    }
}

#[test]
fn s20_a_panic_of_the_observer_during_a_fetch_leaves_no_client_waiting() {
    panics::silence_contained();
    let upstream = listen();
    let server = serve(&upstream, &options(), Arc::new(PanicsAt(Interest::READ)));
    for _ in 0..2 {
        let clients = waiting(&server, 2 * THREADS);
        accept(&upstream).write_all(b"a poem").unwrap();
        for client in &clients {
            assert_eq!(read_all(client), Err(ErrorKind::ConnectionReset));
        }
    }
    let fetches = server.shutdown(GENEROUS).counters.fetches;
    assert_eq!((fetches.begun, fetches.failed), (2, 2));
}

#[test]
fn s20_a_panic_of_the_observer_at_the_end_of_a_fetch_does_not_cost_the_poem() {
    panics::silence_contained();
    let upstream = listen();
    let server = serve(
        &upstream,
        &options(),
        Arc::new(PanicsAt(Interest::FINISHED)),
    );
    let client = &waiting(&server, 1)[0];
    accept(&upstream).write_all(b"a poem").unwrap();
    assert_eq!(read_all(client).as_deref(), Ok("a poem"));
}
