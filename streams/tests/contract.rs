//! The model behind the contract, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use poetry::event::{Interest, Unobserved};
use poetry::{
    Cancel, Clock, Event, FetchFailure, FetchRequest, Kind, Model, Observer, Options, Pace, Peer,
    Poem, PoemService, Server, Service, TransformService, Via, panics,
};
use streams::{Streams, serve_transforms_with};

const GENEROUS: Duration = Duration::from_secs(10);

fn options(threads: usize) -> Options {
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(threads).unwrap();
    options
}

fn serve(service: Service, options: &Options) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Streams
        .serve(listener, service, options, Arc::new(Unobserved))
        .unwrap()
}

fn poem_server(text: &str, pace: Pace, threads: usize) -> Box<dyn Server> {
    let poem = Poem::from(text);
    serve(Service::Poem(PoemService { poem, pace }), &options(threads))
}

fn transform_server(keep_alive: bool) -> Box<dyn Server> {
    let service = TransformService {
        keep_alive,
        lab: Some(Clock::stopped()),
        offload: false,
    };
    serve(Service::Transform(service), &options(1))
}

fn exchange(server: &dyn Server, bytes: &[u8], half_close: bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    socket.write_all(bytes).unwrap();
    if half_close {
        socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).unwrap();
    reply
}

#[test]
fn s10_many_poems_arrive_in_argument_order() {
    for threads in [1, 3] {
        let slow = Pace::Slow {
            num_bytes: NonZeroUsize::new(3).unwrap(),
            delay: Duration::from_millis(5),
        };
        let servers = [
            poem_server("a slow poem, about nothing", slow, threads),
            poem_server("a fast one", Pace::Fast, threads),
            poem_server("", Pace::Fast, threads),
        ];
        let requests: Vec<FetchRequest> = (0..30)
            .map(|at| FetchRequest::new(servers[at % 3].address()))
            .collect();
        let client = Streams.client(&options(threads)).unwrap();
        for _ in 0..2 {
            let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
            let poems: Vec<_> = outcomes
                .iter()
                .map(|outcome| outcome.poem.clone().unwrap())
                .collect();
            assert_eq!(poems.len(), 30);
            for three in poems.chunks(3) {
                assert_eq!(three, ["a slow poem, about nothing", "a fast one", ""]);
            }
        }
        for server in servers {
            let summary = server.shutdown(GENEROUS);
            assert_eq!(summary.counters.check(), Ok(()));
            assert_eq!(summary.counters.answered, 20);
            assert_eq!(summary.counters.closed.done, 20);
        }
    }
}

#[test]
fn s5_one_shot_answers_the_first_request_only() {
    let server = transform_server(false);
    let reply = exchange(&*server, b"7:shout.a,7:shout.b,", false);
    assert_eq!(reply, b"1:A,");
    let summary = server.shutdown(GENEROUS);
    assert_eq!(
        (summary.counters.answered, summary.counters.closed.done),
        (1, 1)
    );
}

#[test]
fn s5_keep_alive_answers_until_the_client_closes() {
    let server = transform_server(true);
    assert_eq!(
        exchange(&*server, b"7:shout.a,7:shout.b,", true),
        b"1:A,1:B,"
    );
    assert_eq!(
        exchange(&*server, b"7:shout.a,8:nonsense,7:shout.b,", true),
        b"1:A,"
    );
    assert_eq!(
        exchange(&*server, b"7:shout.a,7:crash.x,7:shout.b,", true),
        b"1:A,"
    );
    assert_eq!(exchange(&*server, b"7:shout.a,7:sho", true), b"1:A,");
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!((counts.requests, counts.answered, counts.failed), (8, 5, 1));
    assert_eq!((counts.refused.no_dot, counts.refused.truncated), (1, 1));
    assert_eq!(
        (
            counts.closed.refused,
            counts.closed.panic,
            counts.closed.done
        ),
        (2, 1, 1)
    );
}

#[test]
fn s13_a_poem_is_transformed_or_kept() {
    let poems = poem_server("Hush", Pace::Fast, 1);
    let transforms = transform_server(false);
    let request = |transform: &str| {
        FetchRequest::new(poems.address()).via(Via {
            transform: transform.to_owned(),
            peer: Peer::from(transforms.address()),
        })
    };
    let client = Streams.client(&options(1)).unwrap();
    let requests = [request("shout"), request("gibberish")];
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
    assert_eq!(outcomes[0].poem.as_deref(), Ok("HUSH"));
    assert_eq!(outcomes[1].poem.as_deref(), Ok("Hush"));
    let failure = outcomes[1].transform_failure.as_ref().unwrap();
    assert_eq!(failure.failure, FetchFailure::Refused);
}

#[test]
fn s21_an_idle_connection_is_closed_and_one_in_flight_is_cut_by_the_grace() {
    let server = transform_server(true);
    let mut idle = TcpStream::connect(server.address()).unwrap();
    let mut busy = TcpStream::connect(server.address()).unwrap();
    idle.set_read_timeout(Some(GENEROUS)).unwrap();
    idle.write_all(b"7:shout.a,").unwrap();
    idle.read_exact(&mut [0; 4]).unwrap();
    busy.write_all(b"7:sh").unwrap();
    while server.counters().bytes_in < 14 {
        std::thread::yield_now();
    }
    let summary = server.shutdown(Duration::from_millis(50));
    assert_eq!((summary.finished, summary.cut), (0, 1));
    assert_eq!(idle.read(&mut [0; 4]).unwrap(), 0);
    let closed = summary.counters.closed;
    assert_eq!((closed.done, closed.cut), (1, 1));
}

/// Reads to the end. Returns the number of bytes, and how it ended.
fn drain(mut socket: TcpStream) -> (usize, Result<(), ErrorKind>) {
    let mut bytes = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return (total, Ok(())),
            Ok(read) => total += read,
            Err(error) => return (total, Err(error.kind())),
        }
    }
}

#[test]
fn s21_a_part_of_a_poem_never_ends_with_fin() {
    let poem = "x".repeat(40 << 20);
    for stopped in [true, false] {
        let mut options = options(1);
        if !stopped {
            options.limits.write_timeout = Duration::from_millis(20);
        }
        let service = PoemService {
            poem: Poem::from(poem.as_str()),
            pace: Pace::Fast,
        };
        let server = serve(Service::Poem(service), &options);
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(GENEROUS)).unwrap();
        while server.counters().bytes_out == 0 || !stopped && server.counters().open > 0 {
            std::thread::yield_now();
        }
        let closed = server.shutdown(Duration::from_millis(20)).counters.closed;
        assert_eq!(
            (closed.cut, closed.write),
            (stopped.into(), (!stopped).into())
        );
        let (read, end) = drain(socket);
        assert!(read < poem.len());
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
    }
}

#[test]
fn s21_a_connection_that_lingers_when_the_grace_ends_is_closed_with_fin() {
    let server = poem_server("a poem", Pace::Fast, 1);
    let socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    while server.counters().answered == 0 {
        std::thread::yield_now();
    }
    let closed = server.shutdown(Duration::ZERO).counters.closed;
    assert_eq!(closed.cut, 1);
    assert_eq!(drain(socket), (6, Ok(())));
}

#[test]
fn s11_failures_are_distinct_and_do_not_disturb_other_fetches() {
    let good = poem_server("good", Pace::Fast, 1);
    let long = poem_server("far too long", Pace::Fast, 1);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = closed.local_addr().unwrap();
    drop(closed);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbled = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbled_at = garbled.local_addr().unwrap();
    let garbler = std::thread::spawn(move || {
        garbled.accept().unwrap().0.write_all(b"ab\xff").unwrap();
    });
    let peers = [
        Peer::from(good.address()),
        Peer::from(refusing),
        Peer::unresolved("nowhere", "no such name"),
        Peer::from(silent.local_addr().unwrap()),
        Peer::from(garbled_at),
        Peer::from(long.address()),
        Peer::new("twice", vec![refusing, good.address()]),
    ];
    let requests: Vec<_> = peers.into_iter().map(FetchRequest::new).collect();
    let mut options = options(1);
    options.limits.idle_timeout = Duration::from_millis(300);
    options.limits.poem_bytes_max = 5;
    let client = Streams.client(&options).unwrap();
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
    let statuses: Vec<_> = outcomes
        .iter()
        .map(|outcome| match &outcome.poem {
            Ok(poem) => poem.as_str(),
            Err(error) => error.failure.status(),
        })
        .collect();
    assert_eq!(
        statuses,
        [
            "good",
            "connection_failed",
            "connection_failed",
            "timed_out",
            "not_utf8",
            "too_long",
            "good"
        ]
    );
    garbler.join().unwrap();
}

#[test]
fn s14_a_cancelled_fetch_closes_its_own_socket_only() {
    let endless = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = poem_server("good", Pace::Fast, 1);
    let requests: Vec<_> = [endless.local_addr().unwrap(), good.address()]
        .map(FetchRequest::new)
        .into();
    let cancel = Cancel::new();
    let canceller = cancel.clone();
    let peer = std::thread::spawn(move || {
        let mut socket = endless.accept().unwrap().0;
        socket.set_read_timeout(Some(GENEROUS)).unwrap();
        socket.write_all(b"once upon").unwrap();
        canceller.task(0);
        // The client may reset instead of FIN, because of what it has not read. Either closes the socket.
        let end = socket.read(&mut [0; 1]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)));
    });
    let client = Streams.client(&options(1)).unwrap();
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &cancel);
    let failure = &outcomes[0].poem.as_ref().unwrap_err().failure;
    assert_eq!(*failure, FetchFailure::Cancelled);
    assert_eq!(outcomes[1].poem.as_deref(), Ok("good"));
    peer.join().unwrap();
}

#[test]
fn s16_a_connection_over_the_limit_waits_until_another_ends() {
    let mut options = options(2);
    options.limits.connections_max = 1;
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    let server = serve(Service::Transform(service), &options);
    let mut first = TcpStream::connect(server.address()).unwrap();
    first.write_all(b"7:shout.a,").unwrap();
    first.read_exact(&mut [0; 4]).unwrap();
    let mut second = TcpStream::connect(server.address()).unwrap();
    second.set_read_timeout(Some(GENEROUS)).unwrap();
    second.write_all(b"7:shout.b,").unwrap();
    assert_eq!(server.counters().accepted, 1);
    drop(first);
    second.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(server.counters().accepted, 2);
}

/// Panics at every event.
struct Panicky;

impl Observer for Panicky {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        panic!("observed {:?}", event.kind);
    }
}

#[test]
fn s20_a_panic_of_the_observer_costs_its_connection_and_the_server_still_stops() {
    panics::silence_contained();
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Streams
        .serve(listener, service, &options(3), Arc::new(Panicky))
        .unwrap();
    for _ in 0..6 {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(GENEROUS)).unwrap();
        let end = socket.read(&mut [0; 1]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)));
    }
    let counters = server.shutdown(GENEROUS).counters;
    assert_eq!(counters.check(), Ok(()));
    assert_eq!((counters.accepted, counters.closed.panic), (6, 6));
}

/// Keeps the addresses that were tried, with their tasks.
#[derive(Default)]
struct Tried(Mutex<Vec<(u64, SocketAddr)>>);

impl Observer for Tried {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if event.kind == Kind::Connecting {
            let peer = event.scene.peer.expect("an address is tried");
            self.0.lock().unwrap().push((event.scene.task, peer));
        }
    }
}

#[test]
fn s10_each_address_that_is_tried_is_reported_and_an_unresolved_name_is_not() {
    let good = poem_server("good", Pace::Fast, 1);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = closed.local_addr().unwrap();
    drop(closed);
    let peers = [
        Peer::unresolved("nowhere", "no such name"),
        Peer::new("twice", vec![refusing, good.address(), refusing]),
    ];
    let requests = peers.map(FetchRequest::new);
    let tried = Arc::<Tried>::default();
    let client = Streams.client(&options(1)).unwrap();
    client.fetch(&requests, tried.clone(), &Cancel::new());
    let tried = tried.0.lock().unwrap();
    assert_eq!(*tried, [(1, refusing), (1, good.address())]);
}

/// Rounds of [`AsksDuringTurns`].
const ROUNDS: usize = 50;

/// Has a client with one request at a time ask while others, which pipeline, have their turns: from the server's own
/// thread, right after an answer. Counts the answers to each of them before its own.
struct AsksDuringTurns {
    modest: TcpStream,
    state: Mutex<Asking>,
    done: mpsc::Sender<Vec<u64>>,
}

#[derive(Default)]
struct Asking {
    asked: bool,
    answers: u32,
    meanwhile: [u64; 5],
    most: Vec<u64>,
}

impl Observer for AsksDuringTurns {
    fn interest(&self) -> Interest {
        Interest::ANSWERED
    }

    fn observe(&self, event: &Event) {
        let Kind::Answered { requests } = event.kind else {
            return;
        };
        let mut state = self.state.lock().unwrap();
        state.answers += 1;
        match event.scene.task {
            0 => {
                let most = state.meanwhile.iter().max().copied();
                state.most.extend(most);
                state.asked = false;
                if state.most.len() == ROUNDS {
                    let _ = self.done.send(state.most.clone());
                }
            }
            other if state.asked => state.meanwhile[other as usize] += requests,
            // Not always after the same answer of a round.
            _ if state.answers.is_multiple_of(7) => {
                (&self.modest).write_all(b"6:shout.,").unwrap();
                state.asked = true;
                state.meanwhile = [0; 5];
            }
            _ => {}
        }
    }
}

#[test]
fn s24_a_request_sent_during_turns_waits_for_at_most_128_of_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (done, rounds) = mpsc::channel();
    // The first connection that is accepted is task 0.
    let observer = AsksDuringTurns {
        modest: connect(),
        state: Mutex::default(),
        done,
    };
    let pipelining: Vec<TcpStream> = (0..4).map(|_| connect()).collect();
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    let server = serve_transforms_with(listener, service, &options(1), Arc::new(observer)).unwrap();
    std::thread::scope(|scope| {
        for mut socket in &pipelining {
            scope.spawn(move || {
                let requests = b"6:shout.,".repeat(5_000);
                while socket.write_all(&requests).is_ok() {}
            });
            scope.spawn(move || while socket.read(&mut [0; 1 << 16]).is_ok_and(|read| read > 0) {});
        }
        let most = rounds.recv_timeout(GENEROUS).unwrap();
        drop(server);
        assert!(most.iter().any(|&most| most > 0), "no turn was under way");
        assert!(most.iter().all(|&most| most <= 128), "{most:?}");
    });
}
