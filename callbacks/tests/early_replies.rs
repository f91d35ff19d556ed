//! Clients that ask a server of netstrings over real sockets, whose reply and end come before the client looks (S11), and
//! servers that take the request slowly (S18).

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    Deferred, Failure, FetchFailure, Limits, MemoryReactor, Peer, Poem, Reactor, Reporter, Role,
    Task, Unobserved, Via, event::Clock, get_poetry_named, transform, transform_with,
};

use common::{SECOND, run_for};

type Ask = fn(&Reactor, SocketAddr) -> Deferred<Poem>;

const ASKS: [Ask; 2] = [
    |reactor, address| transform(reactor, &shout_at(address), &"ahoy".into()),
    |reactor, address| get_poetry_named(reactor, address, &"star".parse().unwrap()),
];

fn shout_at(peer: impl Into<Peer>) -> Via {
    Via {
        transform: "shout".to_owned(),
        peer: peer.into(),
    }
}

/// A task of a transform with these limits.
fn task(reactor: &Reactor, limits: Limits) -> Rc<Task> {
    let (role, clock) = (Role::TransformClient, Clock::stopped());
    let reporter = Reporter::new("callbacks", role, clock, Arc::new(Unobserved));
    Task::new(reactor, limits, &reporter)
}

fn reset(server: TcpStream) {
    let reset = Some(Duration::ZERO);
    socket2::SockRef::from(&server).set_linger(reset).unwrap();
}

/// Asks a server that does `act` before the reactor looks.
fn ask(ask: Ask, act: impl FnOnce(TcpStream)) -> Result<Poem, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reactor = Reactor::open().unwrap();
    let poem = ask(&reactor, listener.local_addr().unwrap());
    let (server, _) = listener.accept().unwrap();
    act(server);
    run_for(&reactor, poem)
}

#[cfg(target_os = "linux")]
#[test]
fn s11_a_reply_that_ended_before_an_unseen_reset_has_arrived() {
    for asks in ASKS {
        let poem = ask(asks, |mut server| {
            server.write_all(b"4:AHOY,").unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            reset(server);
        });
        assert_eq!(poem.unwrap().as_str(), "AHOY");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn s11_a_reply_cut_short_before_an_unseen_reset_is_told_from_none() {
    for asks in ASKS {
        for (sent, expected) in [
            (&b"4:AH"[..], FetchFailure::CutShort),
            (b"", FetchFailure::Refused),
        ] {
            let failure = ask(asks, |mut server| {
                server.write_all(sent).unwrap();
                server.shutdown(Shutdown::Write).unwrap();
                reset(server);
            });
            let failure = failure.unwrap_err().trap::<FetchFailure>().unwrap();
            assert_eq!(failure, expected);
        }
    }
}

#[test]
fn s11_a_reset_without_fin_before_the_reactor_looks_is_lost() {
    for asks in ASKS {
        for sent in [&b"4:AH"[..], b""] {
            let failure = ask(asks, |mut server| {
                server.write_all(sent).unwrap();
                reset(server);
            });
            let failure = failure.unwrap_err().trap::<FetchFailure>().unwrap();
            assert!(
                matches!(failure, FetchFailure::ConnectionLost { .. }),
                "{failure:?}"
            );
        }
    }
}

/// The reset comes while most of a long request is unsent.
#[test]
fn s11_a_reply_that_comes_before_a_reset_in_mid_request_has_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reactor = Reactor::open().unwrap();
    let limits = Limits {
        frame_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let task = task(&reactor, limits);
    let via = shout_at(listener.local_addr().unwrap());
    let poem = transform_with(&reactor, &via, &"x".repeat(30_000_000).into(), &task);
    let server = std::thread::spawn(move || {
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut [0; 10_000]).unwrap();
        server.write_all(b"4:AHOY,").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        drop(server); // With unread input: a reset.
    });
    let shouted = run_for(&reactor, poem);
    server.join().unwrap();
    assert_eq!(shouted.unwrap().as_str(), "AHOY");
}

#[test]
fn s18_a_server_that_takes_a_little_unannounced_in_time_is_not_timed_out() {
    let reactor = MemoryReactor::new();
    let limits = Limits {
        idle_timeout: SECOND,
        ..Limits::default()
    };
    let task = task(&reactor, limits);
    let via = shout_at("10002".parse::<Peer>().unwrap());
    let begin = || transform_with(&reactor, &via, &"ahoy".into(), &task);
    let (slow, stalled) = (begin(), begin());
    let servers = reactor.dialled();
    for server in &servers {
        server.limit_room(1);
        server.accept();
    }
    reactor.settle();
    for _ in 0..5 {
        servers[0].take_unannounced(1);
        reactor.advance(SECOND);
    }
    assert!(!slow.is_settled() && stalled.is_settled());
    let failure = stalled.take_result().unwrap().unwrap_err();
    assert!(failure.to_string().starts_with("timed out"));
    servers[0].limit_room(100);
    servers[0].send(b"4:AHOY,");
    reactor.settle();
    assert_eq!(slow.take_result().unwrap().unwrap().as_str(), "AHOY");
}
