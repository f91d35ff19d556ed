//! The model's servers and client, from outside and over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blocking::Blocking;
use poetry::event::{Interest, Unobserved};
use poetry::model::Via;
use poetry::{
    Cancel, Clock, Event, FetchFailure, FetchRequest, Limits, Model, Observer, Options, Pace, Peer,
    PoemService, Server, Service, TransformService,
};

/// Generous: only a broken program waits so long.
const DEADLINE: Duration = Duration::from_secs(10);
/// A time for which no test waits.
const HOUR: Duration = Duration::from_secs(3_600);

fn options(limits: Limits) -> Options {
    let origin = Instant::now();
    Options {
        limits,
        ..Options::new(Clock::new(move || origin.elapsed()))
    }
}

fn serve(service: Service, limits: Limits) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = options(limits);
    Blocking::NEW
        .serve(listener, service, &options, Arc::new(Unobserved))
        .unwrap()
}

fn transforms(keep_alive: bool) -> Service {
    Service::Transform(TransformService {
        keep_alive,
        lab: Some(Clock::stopped()),
        offload: false,
    })
}

fn poem(text: &str, pace: Pace) -> Service {
    let poem = text.into();
    Service::Poem(PoemService { poem, pace })
}

fn connect(server: &dyn Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn read_all(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn s5_one_shot_answers_exactly_the_first_request() {
    let server = serve(transforms(false), Limits::default());
    let mut peer = connect(&*server);
    peer.write_all(b"16:cummingsify.AHOY,9:shout.ab,").unwrap();
    assert_eq!(read_all(&peer), "4:ahoy,");
    drop(peer);
    let summary = server.shutdown(DEADLINE);
    assert_eq!((summary.counters.answered, summary.cut), (1, 0));
    assert_eq!(summary.counters.closed.done, 1);
    assert_eq!(summary.counters.check(), Ok(()));
}

#[test]
fn s5_keep_alive_answers_in_order_in_whatever_pieces_requests_arrive() {
    let server = serve(transforms(true), Limits::default());
    let mut peer = connect(&*server);
    for byte in b"16:cummingsify.AHOY,8:shout.ab," {
        peer.write_all(&[*byte]).unwrap();
    }
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&peer), "4:ahoy,2:AB,");
}

#[test]
fn s20_a_panic_delivers_the_earlier_replies_and_costs_one_connection() {
    poetry::panics::silence_contained();
    let server = serve(transforms(true), Limits::default());
    let mut peer = connect(&*server);
    peer.write_all(b"8:shout.ab,7:crash.x,8:shout.ab,").unwrap();
    assert_eq!(read_all(&peer), "2:AB,");
    drop(peer);
    let counters = server.shutdown(DEADLINE).counters;
    assert_eq!(
        (counters.requests, counters.answered, counters.failed),
        (2, 1, 1)
    );
    assert_eq!(counters.closed.panic, 1);
}

#[test]
fn s20_a_burning_request_delays_no_other_connection() {
    let now = Arc::new(AtomicU64::new(0));
    let time = Arc::clone(&now);
    // The burn lasts until the test moves this clock.
    let lab = Clock::new(move || Duration::from_millis(time.load(Ordering::Acquire)));
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(lab),
        offload: false,
    });
    let server = serve(service, Limits::default());
    let (mut burning, mut other) = (connect(&*server), connect(&*server));
    burning.write_all(b"6:burn.x,").unwrap();
    while server.counters().requests == 0 {
        std::thread::yield_now();
    }
    other.write_all(b"8:shout.ab,").unwrap();
    let mut reply = [0; 5];
    other.read_exact(&mut reply).unwrap();
    now.store(1_000, Ordering::Release);
    burning.read_exact(&mut reply[..4]).unwrap();
    assert_eq!(&reply, b"1:x,,");
}

/// The first connection's thread is in the middle of a read of many requests for as long as the other is answered.
#[test]
fn s24_a_connection_that_pipelines_does_not_hold_up_another() {
    let now = Arc::new(AtomicU64::new(0));
    let time = Arc::clone(&now);
    let lab = Clock::new(move || Duration::from_millis(time.load(Ordering::Acquire)));
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(lab),
        offload: false,
    });
    let server = serve(service, Limits::default());
    let (mut pipelining, mut other) = (connect(&*server), connect(&*server));
    let burst = [
        &b"8:shout.ab,".repeat(50)[..],
        b"6:burn.x,",
        &b"8:shout.ab,".repeat(50),
    ]
    .concat();
    pipelining.write_all(&burst).unwrap();
    while server.counters().requests < 51 {
        std::thread::yield_now();
    }
    let mut reply = [0; 5];
    for _ in 0..1_000 {
        other.write_all(b"8:shout.cd,").unwrap();
        other.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"2:CD,");
    }
    now.store(1_000, Ordering::Release);
    pipelining.shutdown(Shutdown::Write).unwrap();
    let replies = ["2:AB,".repeat(50), "1:x,".to_owned(), "2:AB,".repeat(50)].concat();
    assert_eq!(read_all(&pipelining), replies);
}

#[test]
fn s21_idle_connections_are_closed_at_once_with_fin() {
    let server = serve(transforms(true), Limits::default());
    let mut peer = connect(&*server);
    peer.write_all(b"8:shout.ab,").unwrap();
    let mut reply = [0; 5];
    peer.read_exact(&mut reply).unwrap();
    let summary = server.shutdown(DEADLINE);
    assert_eq!(read_all(&peer), "");
    assert_eq!((summary.finished, summary.cut), (0, 0));
    assert_eq!(summary.counters.closed.done, 1);
}

#[test]
fn s21_a_poem_that_outlasts_the_grace_is_cut() {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::MIN,
        // So long that a thread which is not woken fails the test.
        delay: HOUR,
    };
    let server = serve(poem("slow", pace), Limits::default());
    let (half_closed, open) = (connect(&*server), connect(&*server));
    half_closed.shutdown(Shutdown::Write).unwrap();
    let mut first = [0];
    (&half_closed).read_exact(&mut first).unwrap();
    (&open).read_exact(&mut first).unwrap();
    let summary = server.shutdown(Duration::from_millis(10));
    assert_eq!((summary.finished, summary.cut), (0, 2));
    assert_eq!(summary.counters.check(), Ok(()));
    for mut client in [half_closed, open] {
        let reset = client.read(&mut first).unwrap_err();
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// The client stops reading, or reads all the time, while its thread is blocked in a write.
#[test]
fn s21_a_poem_that_is_being_written_when_the_grace_is_over_is_reset() {
    let text = "A long line of a poem.\n".repeat(2_000_000);
    for stalls in [true, false] {
        let server = serve(poem(&text, Pace::Fast), Limits::default());
        let client = connect(&*server);
        let mut start = vec![0; 1_000_000];
        (&client).read_exact(&mut start).unwrap();
        let reads = || (&client).read_to_end(&mut Vec::new());
        let (summary, read) = std::thread::scope(|scope| {
            let reading = (!stalls).then(|| {
                // Slowly, so that it does not get the whole poem before the grace is over.
                scope.spawn(|| {
                    let mut piece = [0; 100];
                    loop {
                        match (&client).read(&mut piece) {
                            Ok(0) => return Ok(0),
                            Ok(_) => std::thread::yield_now(),
                            Err(error) => return Err(error),
                        }
                    }
                })
            });
            let summary = server.shutdown(Duration::ZERO);
            let read = reading.map_or_else(reads, |reading| reading.join().unwrap());
            (summary, read)
        });
        assert_eq!(summary.counters.closed.cut, 1, "{summary:?}");
        let reset = read.unwrap_err();
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn s16_at_the_limit_the_next_waits_and_is_served_when_one_ends() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = serve(transforms(true), limits);
    let mut first = connect(&*server);
    let mut second = connect(&*server);
    first.write_all(b"8:shout.ab,").unwrap();
    second.write_all(b"8:shout.cd,").unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    let mut reply = [0; 5];
    first.read_exact(&mut reply).unwrap();
    assert_eq!(server.counters().accepted, 1);
    drop(first);
    assert_eq!(read_all(&second), "2:CD,");
}

#[test]
fn s10_many_poems_arrive_at_once_and_one_failure_disturbs_no_other() {
    let text = "A poem with an ü.\n".repeat(10_000);
    let fast = serve(poem(&text, Pace::Fast), Limits::default());
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(1),
    };
    let slow = serve(poem(&text[..190], pace), Limits::default());
    let transform = serve(transforms(true), Limits::default());
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let via = |name: &str| Via {
        transform: name.to_owned(),
        peer: Peer::from(transform.address()),
    };
    let requests = [
        FetchRequest::new(fast.address()),
        FetchRequest::new(slow.address()).via(via("shout")),
        FetchRequest::new(dead),
        FetchRequest::new(slow.address()).via(via("gibberish")),
    ];
    let client = Blocking::NEW.client(&options(Limits::default())).unwrap();
    for _ in 0..2 {
        let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
        assert_eq!(outcomes[0].poem.as_deref(), Ok(&*text));
        assert_eq!(outcomes[1].poem, Ok(text[..190].to_uppercase()));
        let failure = &outcomes[2].poem.as_ref().unwrap_err().failure;
        assert!(matches!(failure, FetchFailure::ConnectionFailed { .. }));
        assert_eq!(outcomes[3].poem.as_deref(), Ok(&text[..190]));
        let failure = outcomes[3].transform_failure.as_ref().unwrap();
        assert_eq!(failure.failure, FetchFailure::Refused);
    }
}

#[test]
fn s14_a_cancelled_fetch_ends_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let request = FetchRequest::new(silent.local_addr().unwrap());
    let limits = Limits {
        idle_timeout: HOUR,
        ..Limits::default()
    };
    let client = Blocking::NEW.client(&options(limits)).unwrap();
    let cancel = Cancel::new();
    let outcomes = std::thread::scope(|scope| {
        let fetch = scope.spawn(|| client.fetch(&[request], Arc::new(Unobserved), &cancel));
        let (mut accepted, _) = silent.accept().unwrap();
        accepted.write_all(b"half a po").unwrap();
        cancel.task(0);
        accepted.set_read_timeout(Some(DEADLINE)).unwrap();
        match accepted.read(&mut [0]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        fetch.join().unwrap()
    });
    let failure = &outcomes[0].poem.as_ref().unwrap_err().failure;
    assert_eq!(*failure, FetchFailure::Cancelled);
}

/// Sends the address that the client begins to connect to.
struct Connects(mpsc::Sender<SocketAddr>);

impl Observer for Connects {
    fn interest(&self) -> Interest {
        Interest::CONNECTING
    }

    fn observe(&self, event: &Event) {
        let _ = self.0.send(event.scene.peer.unwrap());
    }
}

/// An address on which nothing listens.
fn dead() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A listener whose queue is full, so that Linux does not answer, its address, and the connections that fill the queue.
#[cfg(target_os = "linux")]
fn full() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&anywhere.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        queued.push(stream);
        assert!(queued.len() < 5_000, "the queue never fills");
    }
    (listener, address, queued)
}

#[cfg(target_os = "linux")]
#[test]
fn s14_a_cancel_ends_an_unanswered_connect_to_any_address() {
    let (_listener, full, _queued) = full();
    let fast = serve(poem("Ahoy", Pace::Fast), Limits::default());
    let via = Via {
        transform: "shout".to_owned(),
        peer: Peer::from(full),
    };
    let first = FetchRequest::new(full);
    let second = FetchRequest::new(Peer::new("two addresses", vec![dead(), full]));
    let transform = FetchRequest::new(fast.address()).via(via);
    for request in [first, second, transform] {
        let limits = Limits {
            connect_timeout: HOUR,
            ..Limits::default()
        };
        let client = Blocking::NEW.client(&options(limits)).unwrap();
        let (cancel, (sender, connects)) = (Cancel::new(), mpsc::channel());
        let outcomes = std::thread::scope(|scope| {
            let observer = Arc::new(Connects(sender));
            let fetch = scope.spawn(|| client.fetch(&[request], observer, &cancel));
            while connects.recv_timeout(DEADLINE).unwrap() != full {}
            // The connect may not have begun yet, or may wait already: the cancel ends both.
            cancel.all();
            fetch.join().unwrap()
        });
        let failure = &outcomes[0].poem.as_ref().unwrap_err().failure;
        assert_eq!(*failure, FetchFailure::Cancelled);
    }
}

/// Panics when the first poem has arrived.
struct PanicsAtTheFirstPoem;

impl Observer for PanicsAtTheFirstPoem {
    fn interest(&self) -> Interest {
        Interest::FINISHED
    }

    fn observe(&self, event: &Event) {
        assert!(event.scene.task != 0, "the first poem has arrived");
    }
}

#[test]
fn t3_an_observer_that_panics_ends_the_fetch_when_all_threads_have_ended() {
    let fast = serve(poem("Ahoy", Pace::Fast), Limits::default());
    let request = FetchRequest::new(fast.address());
    let client = Blocking::NEW.client(&options(Limits::default())).unwrap();
    let fetch = || {
        client.fetch(
            &vec![request; 20],
            Arc::new(PanicsAtTheFirstPoem),
            &Cancel::new(),
        )
    };
    assert!(poetry::panics::contain(fetch).is_err());
    let counters = fast.shutdown(DEADLINE).counters;
    assert_eq!((counters.accepted, counters.answered), (20, 20));
}
