//! The programs over real sockets, behind the contract. Other tests need no sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbacks::Callbacks;
use poetry::event::Unobserved;
use poetry::{
    Cancel, Clock, FetchFailure, FetchRequest, Limits, Model, Options, Pace, Poem, PoemService,
    Server, Service, TransformService, Via,
};

const TEXT: &str = "Ahoy there,\nÜber allen Gipfeln\n";

fn options(threads: usize) -> Options {
    let origin = Instant::now();
    Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        limits: Limits::default(),
        clock: Clock::new(move || origin.elapsed()),
    }
}

fn serve(service: Service, options: &Options) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Callbacks
        .serve(listener, service, options, Arc::new(Unobserved))
        .unwrap()
}

fn poem(pace: Pace) -> Service {
    Service::Poem(PoemService {
        poem: Poem::from(TEXT),
        pace,
    })
}

fn transforms(keep_alive: bool) -> Service {
    Service::Transform(TransformService {
        keep_alive,
        lab: Some(options(1).clock),
        offload: false,
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn s1_a_fast_and_a_slow_poem_arrive_whole() {
    let slow = Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(5),
    };
    for pace in [Pace::Fast, slow] {
        let server = serve(poem(pace), &options(1));
        assert_eq!(read_to_end(connect(server.address())), TEXT.as_bytes());
        let summary = server.shutdown(Duration::from_secs(10));
        summary.counters.check().unwrap();
        assert_eq!(
            (summary.counters.answered, summary.counters.closed.done),
            (1, 1)
        );
    }
}

#[test]
fn s5_keep_alive_answers_pipelined_requests_and_one_shot_the_first() {
    for (keep_alive, replies) in [(true, &b"4:ahoy,2:AB,"[..]), (false, b"4:ahoy,")] {
        let server = serve(transforms(keep_alive), &options(1));
        let mut stream = connect(server.address());
        stream
            .write_all(b"16:cummingsify.AHOY,8:shout.ab,")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(stream), replies);
        let counters = server.shutdown(Duration::from_secs(10)).counters;
        counters.check().unwrap();
        assert_eq!(counters.closed.done, 1);
    }
}

#[test]
fn s20_a_panic_ends_one_connection_only() {
    let server = serve(transforms(true), &options(1));
    let mut stream = connect(server.address());
    stream
        .write_all(b"8:shout.ab,7:crash.x,8:shout.ab,")
        .unwrap();
    assert_eq!(read_to_end(stream), b"2:AB,");
    let mut stream = connect(server.address());
    stream.write_all(b"8:shout.ab,").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(stream), b"2:AB,");
    let counters = server.shutdown(Duration::from_secs(10)).counters;
    assert_eq!((counters.failed, counters.closed.panic), (1, 1));
}

#[test]
fn s21_an_idle_server_ends_at_once_and_a_request_in_flight_is_cut_after_the_grace() {
    let server = serve(transforms(true), &options(2));
    let idle = connect(server.address());
    let mut partial = connect(server.address());
    partial.write_all(b"16:cumm").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.counters().bytes_in < 7 || server.counters().open < 2 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let summary = server.shutdown(Duration::ZERO);
    assert_eq!((summary.finished, summary.cut), (0, 1));
    assert_eq!(
        (summary.counters.closed.done, summary.counters.closed.cut),
        (1, 1)
    );
    assert_eq!(read_to_end(idle), b"");
}

#[test]
fn s10_outcomes_are_in_the_order_of_the_requests_and_a_failure_affects_no_other() {
    for threads in [1, 3] {
        let options = options(threads);
        let poems = serve(poem(Pace::Fast), &options);
        let via = serve(transforms(false), &options);
        let refusing = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut requests = vec![FetchRequest::new(poems.address()); 20];
        requests[7] = FetchRequest::new(refusing);
        for (index, transform) in [(3, "cummingsify"), (4, "gibberish")] {
            let transform = transform.to_owned();
            requests[index].via = Some(Via {
                transform,
                peer: via.address().into(),
            });
        }
        let client = Callbacks.client(&options).unwrap();
        let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
        assert_eq!(outcomes.len(), 20);
        for (index, outcome) in outcomes.iter().enumerate() {
            match (index, &outcome.poem) {
                (7, Err(error)) => assert!(matches!(
                    error.failure,
                    FetchFailure::ConnectionFailed { .. }
                )),
                (3, Ok(poem)) => assert_eq!(*poem, TEXT.to_lowercase()),
                (_, Ok(poem)) => assert_eq!(poem, TEXT),
                (_, Err(error)) => panic!("{index}: {error}"),
            }
        }
        let kept = outcomes[4].transform_failure.as_ref().unwrap();
        assert_eq!(kept.failure, FetchFailure::Refused);
        assert_eq!(
            via.shutdown(Duration::from_secs(10))
                .counters
                .refused
                .transform_failed,
            1
        );
        assert_eq!(
            poems.shutdown(Duration::from_secs(10)).counters.answered,
            19
        );
    }
}

#[test]
fn s14_a_cancelled_fetch_ends_at_once() {
    let server = serve(poem(Pace::SLOW), &options(1));
    let cancel = Cancel::new();
    let client = Callbacks.client(&options(1)).unwrap();
    std::thread::scope(|scope| {
        let requests = [
            FetchRequest::new(server.address()),
            FetchRequest::new(server.address()),
        ];
        let fetch = scope.spawn({
            let cancel = cancel.clone();
            move || client.fetch(&requests, Arc::new(Unobserved), &cancel)
        });
        cancel.all();
        for outcome in fetch.join().unwrap() {
            assert_eq!(outcome.poem.unwrap_err().failure, FetchFailure::Cancelled);
        }
    });
}

#[test]
fn s14_cancelling_a_queued_fetch_affects_no_other() {
    let mut one_at_a_time = options(1);
    one_at_a_time.limits.fetches_max = 1;
    let client = Callbacks.client(&one_at_a_time).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let requests = [(); 3].map(|()| FetchRequest::new(listener.local_addr().unwrap()));
    let cancel = Cancel::new();
    let server = std::thread::spawn({
        let cancel = cancel.clone();
        move || {
            for poem in ["first", "last"] {
                let (mut stream, _) = listener.accept().unwrap();
                cancel.task(1);
                stream.write_all(poem.as_bytes()).unwrap();
            }
        }
    });
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &cancel);
    server.join().unwrap();
    let poems: Vec<_> = outcomes.iter().map(|outcome| &outcome.poem).collect();
    assert_eq!(poems[0].as_deref(), Ok("first"));
    assert_eq!(poems[2].as_deref(), Ok("last"));
    let failure = &poems[1].as_ref().unwrap_err().failure;
    assert_eq!(failure, &FetchFailure::Cancelled);
    assert_eq!(outcomes[1].bytes, 0);
}

#[test]
fn s14_a_fetch_cancelled_before_it_begins_never_connects() {
    let client = Callbacks.client(&options(2)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let requests = [(); 5].map(|()| FetchRequest::new(listener.local_addr().unwrap()));
    let cancel = Cancel::new();
    cancel.all();
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &cancel);
    assert_eq!(outcomes.len(), 5);
    for outcome in outcomes {
        assert_eq!(outcome.poem.unwrap_err().failure, FetchFailure::Cancelled);
    }
    assert!(listener.accept().is_err());
}
