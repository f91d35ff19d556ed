//! The model behind the contract, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{
    Cancel, Clock, FetchFailure, FetchRequest, Model, Options, Pace, Peer, Poem, PoemService,
    Server, Service, TransformService, Via,
};
use streams::Streams;

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
    };
    serve(Service::Transform(service), &options(1))
}

fn ask(server: &dyn Server, bytes: &[u8], half_close: bool) -> Vec<u8> {
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
            .map(|at| FetchRequest {
                peer: Peer::from(servers[at % 3].address()),
                via: None,
            })
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
    let reply = ask(&*server, b"7:shout.a,7:shout.b,", false);
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
    assert_eq!(ask(&*server, b"7:shout.a,7:shout.b,", true), b"1:A,1:B,");
    assert_eq!(
        ask(&*server, b"7:shout.a,8:nonsense,7:shout.b,", true),
        b"1:A,"
    );
    assert_eq!(
        ask(&*server, b"7:shout.a,7:crash.x,7:shout.b,", true),
        b"1:A,"
    );
    assert_eq!(ask(&*server, b"7:shout.a,7:sho", true), b"1:A,");
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
    let request = |transform: &str| FetchRequest {
        peer: Peer::from(poems.address()),
        via: Some(Via {
            transform: transform.to_owned(),
            peer: Peer::from(transforms.address()),
        }),
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
