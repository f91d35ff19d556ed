//! Both shapes of a server, over real sockets: pool and thread for each, with panics and poison.

use super::*;
use poetry::event::{Event, Interest, Observer, Unobserved};
use poetry::{Clock, Role, TransformService};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use crate::workers::SPARE_MAX;

const DEADLINE: Duration = Duration::from_secs(10);
const SHOUT: &[u8] = b"8:shout.ab,";
const REPLY: &[u8] = b"2:AB,";

type Transforms = Box<Serving<TransformService>>;

fn serve(pool: Option<usize>, limits: Limits, observer: Arc<dyn Observer>) -> Transforms {
    let listener = Listener::new(listen()).unwrap();
    let service = TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
    };
    let reporter = Reporter::new("test", Role::TransformServer, Clock::stopped(), observer);
    let pool = pool.and_then(NonZeroUsize::new);
    Box::new(Serving::start(listener, service, pool, limits, reporter).unwrap())
}

/// With room for all who connect: std's backlog of 128 would make some wait for a second.
fn listen() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(1_024).unwrap();
    socket.into()
}

fn plain(pool: Option<usize>) -> Transforms {
    serve(pool, Limits::default(), Arc::new(Unobserved))
}

fn connect(server: &Transforms) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(mut stream: &TcpStream) {
    stream.write_all(SHOUT).unwrap();
}

fn hear(mut stream: &TcpStream) {
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, REPLY);
}

fn is_at_end(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

#[test]
fn t1_a_slow_peer_holds_a_worker_of_a_pool_and_everybody_waits() {
    let server = plain(Some(1));
    let (slow, quick) = (connect(&server), connect(&server));
    ask(&slow);
    hear(&slow);
    ask(&quick);
    until_queued(&server, 1);
    // The only worker waits for the slow peer's next request, so nothing can have come.
    quick.set_nonblocking(true).unwrap();
    let nothing = (&quick).read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    quick.set_nonblocking(false).unwrap();
    drop(slow);
    hear(&quick);
}

/// Waits until so many connections are in the queue of a pool of one thread: each is counted before it is there.
fn until_queued(server: &Transforms, connections: usize) {
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
    let server = plain(Some(size));
    let Threads::Pool(pool) = &server.threads else {
        panic!("another shape");
    };
    assert_eq!(pool.threads(), size);
    let peers: Vec<_> = (0..size).map(|_| connect(&server)).collect();
    peers.iter().for_each(ask);
    peers.iter().for_each(hear);
    drop(peers);
    let late = connect(&server);
    ask(&late);
    hear(&late);
    assert_eq!(pool.threads(), size);
    assert_eq!(server.shutdown(DEADLINE).counters.answered, size as u64 + 1);
}

#[test]
fn t1_a_pool_of_more_threads_than_can_be_had_does_not_start() {
    let listener = Listener::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let size = NonZeroUsize::new(workers::threads_limit() + 1);
    let service = TransformService {
        keep_alive: true,
        lab: None,
    };
    let observer = Arc::new(Unobserved);
    let reporter = Reporter::new("test", Role::TransformServer, Clock::stopped(), observer);
    let refused = Serving::start(listener, service, size, Limits::default(), reporter);
    let words = refused.unwrap_err().to_string();
    assert!(
        words.ends_with("threads that a process may have"),
        "{words}"
    );
}

#[test]
fn t1_with_a_thread_for_each_connection_a_slow_peer_holds_up_nobody() {
    let server = plain(None);
    let (slow, quick) = (connect(&server), connect(&server));
    (&slow).write_all(b"8:shou").unwrap();
    ask(&quick);
    hear(&quick);
}

#[test]
fn s16_a_pool_stops_accepting_at_the_limit() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let server = serve(Some(1), limits, Arc::new(Unobserved));
    let peers = [(); 4].map(|()| connect(&server));
    peers.iter().for_each(ask);
    for peer in peers {
        hear(&peer);
        let counts = server.counters();
        assert!(counts.open <= 2, "{counts:?}");
    }
    assert_eq!(server.shutdown(DEADLINE).counters.answered, 4);
}

#[test]
fn s21_a_pool_closes_those_in_its_queue() {
    let server = plain(Some(1));
    let served = connect(&server);
    ask(&served);
    hear(&served);
    let queued = [connect(&server), connect(&server)];
    until_queued(&server, 2);
    assert_eq!(server.counters().accepted, 3);
    let summary = server.shutdown(DEADLINE);
    assert_eq!((summary.counters.closed.done, summary.cut), (3, 0));
    assert!(is_at_end(&served) && queued.iter().all(is_at_end));
}

#[test]
fn t3_poisoned_locks_harm_nobody() {
    panics::silence_contained();
    for pool in [None, Some(2)] {
        let server = plain(pool);
        let early = connect(&server);
        ask(&early);
        hear(&early);
        server.shared.open.poison();
        server.shared.buffers.poison();
        if let Threads::Pool(pool) = &server.threads {
            pool.poison();
        }
        let late = connect(&server);
        let long = [b"3006:shout.", &[b'a'; 3_000][..], b","].concat();
        (&late).write_all(&long).unwrap();
        let mut reply = [0; 3_006];
        (&late).read_exact(&mut reply).unwrap();
        ask(&early);
        hear(&early);
        let counters = server.shutdown(DEADLINE).counters;
        let closed = &counters.closed;
        assert_eq!((counters.answered, closed.done), (3, 2), "{counters:?}");
    }
}

/// Panics whenever it is told anything but what it sends on.
struct Panics(Interest, mpsc::Sender<Event>);

impl Observer for Panics {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if self.0.meets(event.kind.interest()) {
            panic!("the observer broke down");
        }
        let _ = self.1.send(event.clone());
    }
}

#[test]
fn s20_an_observer_that_panics_costs_the_connections_it_is_told_of() {
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
            ask(&peer);
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
fn t1_more_connections_than_there_may_be_threads_are_said_at_start() {
    let (sender, events) = mpsc::channel();
    let limits = Limits {
        connections_max: 1_000_000,
        ..Limits::default()
    };
    let server = serve(None, limits, Arc::new(Panics(Interest::NONE, sender)));
    let Kind::ShortOfThreads(words) = events.recv_timeout(DEADLINE).unwrap().kind else {
        panic!("another event");
    };
    assert!(
        words.starts_with("1000000 connections at once would take more threads"),
        "{words}"
    );
    let peer = connect(&server);
    ask(&peer);
    hear(&peer);
}
