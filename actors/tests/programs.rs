//! The servers and clients over real sockets on loopback, as far as this model is particular. The conformance suite tests
//! the rest.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actors::Actors;
use poetry::event::Unobserved;
use poetry::{
    Cancel, Clock, Counts, FetchRequest, FramedPoem, Library, LibraryService, Model, Options, Pace,
    PoemService, ProxyService, Server, Service, TransformService, Via,
};

const DEADLINE: Duration = Duration::from_secs(10);

fn options(threads: usize) -> Options {
    Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        ..Options::new(Clock::stopped())
    }
}

fn serve(service: Service, options: &Options) -> Box<dyn Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    Actors
        .serve(listener, service, options, Arc::new(Unobserved))
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
    Service::Poem(PoemService {
        poem: text.into(),
        pace,
    })
}

fn library(poems: &[(&str, &str)], keep_alive: bool) -> Service {
    let framed = |text: &str| FramedPoem::from(&text.into());
    let entry = |&(name, text): &(&str, &str)| (name.parse().unwrap(), framed(text));
    Service::Library(LibraryService {
        library: Library::new(poems.iter().map(entry).collect()),
        keep_alive,
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

fn until(server: &dyn Server, wanted: impl Fn(&Counts) -> bool) -> Counts {
    let begun = std::time::Instant::now();
    loop {
        let counts = server.counters();
        if wanted(&counts) {
            return counts;
        }
        assert!(begun.elapsed() < DEADLINE, "{counts:?}");
        std::thread::yield_now();
    }
}

#[test]
fn s1_a_fast_poem_arrives_complete() {
    let server = serve(poem("Stars\nfall.\n", Pace::Fast), &options(1));
    assert_eq!(ask(server.address(), b""), b"Stars\nfall.\n");
    let counts = until(&*server, |counts| counts.closed.done == 1);
    assert_eq!((counts.answered, counts.bytes_out), (1, 12));
}

#[test]
fn s1_a_slow_poem_arrives_complete() {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(3).unwrap(),
        delay: Duration::from_millis(2),
    };
    let server = serve(poem("Stars\nfall.\n", pace), &options(1));
    assert_eq!(ask(server.address(), b"ignored"), b"Stars\nfall.\n");
    until(&*server, |counts| counts.closed.done == 1);
}

#[test]
fn s5_one_shot_answers_exactly_the_first_request() {
    let server = serve(transforms(false), &options(1));
    let reply = ask(server.address(), b"7:shout.a,7:shout.b,");
    assert_eq!(reply, b"1:A,");
    let counts = until(&*server, |counts| counts.closed.done == 1);
    assert_eq!((counts.requests, counts.answered), (1, 1));
}

#[test]
fn s5_keep_alive_answers_in_order() {
    let server = serve(transforms(true), &options(2));
    let reply = ask(server.address(), b"7:shout.a,7:shout.b,");
    assert_eq!(reply, b"1:A,1:B,");
}

#[test]
fn s8_a_library_answers_pipelined_names_in_order_to_a_client_that_reads_late() {
    let long = "Stars fall.\n".repeat(1 << 17);
    let mut options = options(2);
    options.limits.frame_bytes_max = long.len();
    let server = serve(library(&[("long", &long), ("a", "A")], true), &options);
    let mut client = connect(server.address());
    client.write_all(&b"4:long,1:a,".repeat(5)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // The kernel's buffers are full, and the rest of the replies waits.
    until(&*server, |counts| counts.bytes_out > 0);
    let mut replies = String::new();
    client.read_to_string(&mut replies).unwrap();
    let expected = format!("{}:{long},1:A,", long.len()).repeat(5);
    assert!(replies == expected);
    let counts = until(&*server, |counts| counts.closed.done == 1);
    assert_eq!((counts.requests, counts.answered), (10, 10));
    assert_eq!(counts.bytes_out, expected.len() as u64);
}

#[test]
fn s21_a_poem_that_is_cut_by_a_shutdown_ends_with_a_reset() {
    let long = "Stars fall.\n".repeat(1 << 20);
    let mut options = options(1);
    options.limits.frame_bytes_max = long.len();
    for service in [library(&[("a", &long)], true), poem(&long, Pace::Fast)] {
        let server = serve(service, &options);
        let mut client = connect(server.address());
        client.write_all(b"1:a,").unwrap();
        until(&*server, |counts| counts.bytes_out > 0);
        let summary = server.shutdown(Duration::ZERO);
        assert_eq!((summary.cut, summary.counters.closed.cut), (1, 1));
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

fn proxy(upstream: SocketAddr) -> Service {
    Service::Proxy(ProxyService {
        upstream: upstream.into(),
        ttl: None,
    })
}

#[test]
fn s9_the_clients_of_all_arbiters_share_one_fetch() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = serve(proxy(upstream.local_addr().unwrap()), &options(4));
    let address = server.address();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(move || {
                    let mut poem = Vec::new();
                    connect(address).read_to_end(&mut poem).unwrap();
                    poem
                })
            })
            .collect();
        let (mut peer, _) = upstream.accept().unwrap();
        until(&*server, |counts| counts.in_flight == 40);
        peer.write_all(b"Stars fall.").unwrap();
        drop(peer);
        for client in clients {
            assert_eq!(client.join().unwrap(), b"Stars fall.");
        }
    });
    // Now that the poem is cached, a client that has finished sending is served.
    assert_eq!(ask(address, b"a poem, please"), b"Stars fall.");
    let counts = until(&*server, |counts| counts.closed.done == 41);
    assert_eq!((counts.fetches.begun, counts.fetches.cached), (1, 1));
}

#[test]
fn s9_a_waiting_client_that_finishes_has_left_and_a_failed_fetch_resets_those_that_wait() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = serve(proxy(upstream.local_addr().unwrap()), &options(2));
    let mut leaver = connect(server.address());
    leaver.shutdown(Shutdown::Write).unwrap();
    let error = leaver.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let counts = until(&*server, |counts| counts.fetches.cancelled == 1);
    assert_eq!(counts.closed.left, 1);
    let (mut peer, _) = upstream.accept().unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);

    let mut client = connect(server.address());
    drop(upstream.accept().unwrap());
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let counts = until(&*server, |counts| counts.closed.upstream == 1);
    assert_eq!((counts.fetches.failed, counts.failed), (1, 2));
}

#[test]
fn s9_s21_a_client_that_waits_when_the_grace_is_over_is_reset() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = serve(proxy(upstream.local_addr().unwrap()), &options(2));
    let mut client = connect(server.address());
    until(&*server, |counts| counts.fetches.under_way == 1);
    let summary = server.shutdown(Duration::ZERO);
    assert_eq!((summary.cut, summary.counters.closed.cut), (1, 1));
    assert_eq!(summary.counters.fetches.cancelled, 1);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn o6_the_tree_shows_the_cache_and_its_poet() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = serve(proxy(upstream.local_addr().unwrap()), &options(1));
    let _waiting = connect(server.address());
    shows(
        &*server,
        "\
listener (supervisor, rest_for_one, mailbox 0/64)
├─ connections-0 (connection supervisor, 1 of at most 10000, 0 crashed, 0 restarts, mailbox 0/64)
│  └─ connection-0 (mailbox 0/2)
├─ cache (waiting clients: 1, 0 restarts, mailbox 0/64)
│  └─ poet-0 (mailbox 0/1)
└─ acceptor (0 restarts, mailbox 0/8192)
",
    );
}

#[test]
fn s20_a_crash_delivers_the_replies_before_it_and_costs_its_connection() {
    poetry::panics::silence_contained();
    let server = serve(transforms(true), &options(1));
    let reply = ask(server.address(), b"7:shout.a,7:crash.b,7:shout.c,");
    assert_eq!(reply, b"1:A,");
    let counts = until(&*server, |counts| counts.closed.panic == 1);
    assert_eq!((counts.requests, counts.answered, counts.failed), (2, 1, 1));
    assert_eq!(ask(server.address(), b"7:shout.d,"), b"1:D,");
}

/// A connection that crashed after one reply, and whose client does not close.
fn crashed_and_lingering(options: &mut Options) -> (Box<dyn Server>, TcpStream) {
    poetry::panics::silence_contained();
    options.limits.linger_timeout = Duration::from_secs(3_600);
    let server = serve(transforms(true), options);
    let mut client = connect(server.address());
    client.write_all(b"7:shout.a,7:crash.b,").unwrap();
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"1:A,");
    assert!(server.details().unwrap().contains("last-replies-0"));
    assert_eq!(server.counters().open, 1);
    (server, client)
}

#[test]
fn s16_and_s20_the_heir_of_a_crashed_connection_keeps_its_place() {
    let mut options = options(1);
    options.limits.connections_max = 1;
    let (server, client) = crashed_and_lingering(&mut options);
    let mut waiting = connect(server.address());
    waiting.write_all(b"7:shout.c,").unwrap();
    // The supervisor counts the heir, so it grants the acceptor no room.
    assert!(
        server
            .details()
            .unwrap()
            .contains("1 of at most 1, 1 crashed")
    );
    assert_eq!(server.counters().accepted, 1);
    drop(client);
    let mut reply = [0; 4];
    waiting.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"1:C,");
    assert_eq!(server.counters().closed.panic, 1);
}

#[test]
fn s20_and_s21_the_heir_of_a_crashed_connection_is_cut_when_the_grace_is_over() {
    let (server, client) = crashed_and_lingering(&mut options(1));
    let summary = server.shutdown(Duration::ZERO);
    assert_eq!((summary.finished, summary.cut), (0, 1));
    assert_eq!(summary.counters.closed.cut, 1);
    drop(client);
}

#[test]
fn s20_and_s21_the_heir_of_a_crashed_connection_finishes_within_the_grace() {
    let (server, client) = crashed_and_lingering(&mut options(1));
    let closes = std::thread::spawn(move || drop(client));
    let summary = server.shutdown(DEADLINE);
    closes.join().unwrap();
    // It may have finished before the shutdown began.
    assert!(summary.finished <= 1);
    assert_eq!((summary.cut, summary.counters.closed.panic), (0, 1));
}

#[test]
fn s21_shutdown_closes_idle_connections_at_once() {
    let server = serve(transforms(true), &options(2));
    let mut idle = connect(server.address());
    until(&*server, |counts| counts.open == 1);
    let summary = server.shutdown(DEADLINE);
    assert_eq!((summary.finished, summary.cut), (0, 0));
    assert_eq!(summary.counters.closed.done, 1);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

#[test]
fn s16_at_the_limit_the_next_connection_waits_until_one_ends() {
    let mut options = options(1);
    options.limits.connections_max = 1;
    let server = serve(transforms(true), &options);
    let first = connect(server.address());
    until(&*server, |counts| counts.open == 1);
    let second = std::thread::spawn({
        let address = server.address();
        move || ask(address, b"7:shout.b,")
    });
    drop(first);
    assert_eq!(second.join().unwrap(), b"1:B,");
    assert_eq!(until(&*server, |counts| counts.open == 0).accepted, 2);
}

#[test]
fn s10_and_s13_poems_are_fetched_and_transformed_and_kept_if_the_transform_fails() {
    let poems = serve(poem("Ahoy.", Pace::Fast), &options(1));
    let transforms = serve(transforms(false), &options(1));
    let plain = FetchRequest::new(poems.address());
    let transformed = |transform: &str| {
        FetchRequest::new(poems.address()).via(Via {
            transform: transform.to_owned(),
            peer: transforms.address().into(),
        })
    };
    let refused = FetchRequest::new(SocketAddr::from(([127, 0, 0, 1], 1)));
    let client = Actors.client(&options(2)).unwrap();
    let requests = [
        transformed("shout"),
        plain,
        transformed("gibberish"),
        refused,
    ];
    let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
    let poems: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.poem.as_deref().ok())
        .collect();
    assert_eq!(poems, [Some("AHOY."), Some("Ahoy."), Some("Ahoy."), None]);
    assert!(outcomes[2].transform_failure.is_some());
}

#[test]
fn s14_a_cancelled_fetch_ends_at_once_and_closes_its_socket() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = Actors.client(&options(1)).unwrap();
    let cancel = Cancel::new();
    let request = FetchRequest::new(silent.local_addr().unwrap());
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| client.fetch(&[request], Arc::new(Unobserved), &cancel));
        let (mut peer, _) = silent.accept().unwrap();
        cancel.task(0);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        let outcomes = fetch.join().unwrap();
        assert_eq!(
            outcomes[0].poem.as_ref().unwrap_err().failure.status(),
            "cancelled"
        );
    });
}

#[test]
fn o6_the_supervision_tree_is_drawn_while_the_server_runs() {
    let server = serve(transforms(true), &options(1));
    let _open = connect(server.address());
    shows(
        &*server,
        "\
listener (supervisor, rest_for_one, mailbox 0/64)
├─ connections-0 (connection supervisor, 1 of at most 10000, 0 crashed, 0 restarts, mailbox 0/64)
│  └─ connection-0 (mailbox 0/1)
└─ acceptor (0 restarts, mailbox 0/8192)
",
    );
}

#[test]
fn o6_every_arbiter_has_a_connection_supervisor() {
    let server = serve(transforms(true), &options(2));
    shows(
        &*server,
        "\
listener (supervisor, rest_for_one, mailbox 0/64)
├─ connections-0 (connection supervisor, 0 of at most 5000, 0 crashed, 0 restarts, mailbox 0/64)
├─ connections-1 (connection supervisor, 0 of at most 5000, 0 crashed, 0 restarts, mailbox 0/64)
└─ acceptor (0 restarts, mailbox 0/8192)
",
    );
}

/// Waits until the tree is as expected.
fn shows(server: &dyn Server, expected: &str) {
    let begun = std::time::Instant::now();
    loop {
        let tree = server.details().unwrap();
        if tree == expected {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{tree}");
    }
}

#[test]
fn s16_many_connections_come_and_go_at_the_limit() {
    let mut options = options(2);
    options.limits.connections_max = 3;
    let server = serve(transforms(false), &options);
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..100 {
                    assert_eq!(ask(address, b"7:shout.b,"), b"1:B,");
                }
            });
        }
    });
    let counts = until(&*server, |counts| counts.open == 0);
    assert_eq!((counts.accepted, counts.answered), (800, 800));
}
