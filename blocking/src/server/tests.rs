//! Servers with a pool and with a thread for each connection, over real sockets: panics and poisoned locks too.

use super::*;
use poetry::event::{Event, Interest, Observer, Unobserved};
use poetry::{Clock, Kind, Role, TransformService, panics};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use crate::permits::threads_limit;
use crate::workers::SPARE_MAX;

const DEADLINE: Duration = Duration::from_secs(10);
const SHOUT: &[u8] = b"8:shout.ab,";
const REPLY: &[u8] = b"2:AB,";

fn serve(pool: Option<usize>, limits: Limits, observer: Arc<dyn Observer>) -> RunningServer {
    let service = TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
        offload: false,
    };
    let reporter = Reporter::new("test", Role::TransformServer, Clock::stopped(), observer);
    let pool = pool.and_then(NonZeroUsize::new);
    RunningServer::start(listen(), service, pool, limits, reporter).unwrap()
}

/// A listener with room for every connection: with std's backlog of 128 some would wait for a second.
fn listen() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(1_024).unwrap();
    socket.into()
}

fn serve_unobserved(pool: Option<usize>) -> RunningServer {
    serve(pool, Limits::default(), Arc::new(Unobserved))
}

fn connect(server: &RunningServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn send_request(mut stream: &TcpStream) {
    stream.write_all(SHOUT).unwrap();
}

fn expect_reply(mut stream: &TcpStream) {
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, REPLY);
}

fn is_at_end(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

#[test]
fn t1_a_slow_peer_holds_a_thread_of_a_pool_and_holds_up_the_queue() {
    let server = serve_unobserved(Some(1));
    let (slow, quick) = (connect(&server), connect(&server));
    send_request(&slow);
    expect_reply(&slow);
    send_request(&quick);
    until_queued(&server, 1);
    // The only thread waits for the slow peer's next request, so no reply can have come.
    quick.set_nonblocking(true).unwrap();
    let nothing = (&quick).read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    quick.set_nonblocking(false).unwrap();
    drop(slow);
    expect_reply(&quick);
}

/// Waits until `connections` connections are in the queue of a pool of one thread: each is counted before it is queued.
fn until_queued(server: &RunningServer, connections: usize) {
    let queued = counted(connections, "connection");
    let wanted = format!("1 thread and one that accepts, {queued} in the queue");
    let begun = std::time::Instant::now();
    while server.threads.details() != wanted {
        assert!(begun.elapsed() < DEADLINE, "{}", server.threads.details());
        std::thread::yield_now();
    }
}

#[test]
fn t1_a_pool_has_all_its_threads_from_the_start_and_keeps_them() {
    let size = 2 * SPARE_MAX;
    let server = serve_unobserved(Some(size));
    let Threads::Pool(pool) = &server.threads else {
        panic!("not a pool");
    };
    assert_eq!(pool.threads(), size);
    let peers: Vec<_> = (0..size).map(|_| connect(&server)).collect();
    peers.iter().for_each(send_request);
    peers.iter().for_each(expect_reply);
    drop(peers);
    let late = connect(&server);
    send_request(&late);
    expect_reply(&late);
    assert_eq!(pool.threads(), size);
    assert_eq!(server.shutdown(DEADLINE).counters.answered, size as u64 + 1);
}

#[test]
fn t1_a_pool_of_more_threads_than_allowed_does_not_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let size = NonZeroUsize::new(threads_limit() + 1);
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    let observer = Arc::new(Unobserved);
    let reporter = Reporter::new("test", Role::TransformServer, Clock::stopped(), observer);
    let refused = RunningServer::start(listener, service, size, Limits::default(), reporter);
    let message = refused.unwrap_err().to_string();
    assert!(
        message.ends_with("threads that a process may have"),
        "{message}"
    );
}

#[test]
fn t1_with_a_thread_for_each_connection_a_slow_peer_holds_up_no_other() {
    let server = serve_unobserved(None);
    let (slow, quick) = (connect(&server), connect(&server));
    (&slow).write_all(b"8:shou").unwrap();
    send_request(&quick);
    expect_reply(&quick);
}

#[test]
fn s16_a_pool_stops_accepting_at_the_limit() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let server = serve(Some(1), limits, Arc::new(Unobserved));
    let peers = [(); 4].map(|()| connect(&server));
    peers.iter().for_each(send_request);
    for peer in peers {
        expect_reply(&peer);
        let counts = server.counters();
        assert!(counts.open <= 2, "{counts:?}");
    }
    assert_eq!(server.shutdown(DEADLINE).counters.answered, 4);
}

#[test]
fn s21_a_pool_closes_the_connections_in_its_queue() {
    let server = serve_unobserved(Some(1));
    let served = connect(&server);
    send_request(&served);
    expect_reply(&served);
    let queued = [connect(&server), connect(&server)];
    until_queued(&server, 2);
    assert_eq!(server.counters().accepted, 3);
    let summary = server.shutdown(DEADLINE);
    assert_eq!((summary.counters.closed.done, summary.cut), (3, 0));
    assert!(is_at_end(&served) && queued.iter().all(is_at_end));
}

#[test]
fn t3_poisoned_locks_do_no_harm() {
    panics::silence_contained();
    for pool in [None, Some(2)] {
        let server = serve_unobserved(pool);
        let early = connect(&server);
        send_request(&early);
        expect_reply(&early);
        server.state.poison();
        if let Threads::Pool(pool) = &server.threads {
            pool.poison();
        }
        let late = connect(&server);
        let long = [b"3006:shout.", &[b'a'; 3_000][..], b","].concat();
        (&late).write_all(&long).unwrap();
        let mut reply = [0; 3_006];
        (&late).read_exact(&mut reply).unwrap();
        send_request(&early);
        expect_reply(&early);
        let counters = server.shutdown(DEADLINE).counters;
        let closed = &counters.closed;
        assert_eq!((counters.answered, closed.done), (3, 2), "{counters:?}");
    }
}

/// Panics at the events of an interest, and sends the others on.
struct Panics(Interest, mpsc::Sender<Event>);

impl Observer for Panics {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if self.0.meets(event.kind.interest()) {
            panic!("the observer panics");
        }
        let _ = self.1.send(event.clone());
    }
}

#[test]
fn s20_an_observer_that_panics_costs_the_connections_it_observes() {
    panics::silence_contained();
    for at in [
        Interest::ACCEPTED,
        Interest::CLOSED,
        Interest::ANSWERED,
        Interest::ALL,
    ] {
        let (sender, _events) = mpsc::channel();
        let server = serve(None, Limits::default(), Arc::new(Panics(at, sender)));
        for _ in 0..3 {
            let peer = connect(&server);
            // A connection that panicked is reset (S20), perhaps before this.
            let _ = (&peer).write_all(SHOUT);
            let _ = peer.shutdown(std::net::Shutdown::Write);
            let mut reply = Vec::new();
            let _ = (&peer).read_to_end(&mut reply);
        }
        let counts = server.shutdown(DEADLINE).counters;
        assert_eq!((counts.accepted, counts.open), (3, 0));
        assert_eq!((counts.check(), counts.in_flight), (Ok(()), 0));
    }
}

#[test]
fn t1_a_bound_over_the_limit_on_threads_is_reported_at_start() {
    let (sender, events) = mpsc::channel();
    let limits = Limits {
        connections_max: 1_000_000,
        ..Limits::default()
    };
    let server = serve(None, limits, Arc::new(Panics(Interest::NONE, sender)));
    let Kind::ShortOfThreads(message) = events.recv_timeout(DEADLINE).unwrap().kind else {
        panic!("another event");
    };
    assert!(
        message.starts_with("1000000 connections at once would take more threads"),
        "{message}"
    );
    let peer = connect(&server);
    send_request(&peer);
    expect_reply(&peer);
}
