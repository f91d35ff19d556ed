//! A client's reads and writes, in memory and on virtual time.

use super::*;
use crate::exchange::{ReplyRules, read_reply};
use crate::memory::Act::*;
use crate::memory::{Peer as Memory, ms, sends};
use crate::poem_client::read_poem;
use poetry::Clock;
use poetry::event::Unobserved;
use std::env;
use std::fs::File;
use std::iter::from_fn;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Does `work` with the context of a client with `limits`.
fn with_context<T>(limits: &Limits, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
    with_shared(Shared::default(), limits, work)
}

fn with_shared<T>(shared: Shared, limits: &Limits, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let (cancel, sockets) = (Cancel::new(), Sockets::new(1));
    let clock = Clock::stopped();
    let reporter = Reporter::new("test", Role::PoemClient, clock, Arc::new(Unobserved));
    let now = Duration::ZERO;
    work(&mut Context::new(
        Scene::default(),
        now,
        limits,
        &shared,
        reporter,
        &cancel,
        &sockets,
    ))
}

fn poem(limits: &Limits, peer: &Memory) -> Result<String, FetchFailure> {
    let read = |context: &mut Context<'_>| read_poem(&mut Timed::new(peer.clone()), context);
    with_context(limits, read).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn reply(peer: &Memory) -> Result<String, FetchFailure> {
    let limits = Limits::default();
    let rules = ReplyRules {
        bytes_max: limits.frame_bytes_max,
        not_a_netstring: FetchFailure::Garbled,
    };
    let read =
        |context: &mut Context<'_>| read_reply(&mut Timed::new(peer.clone()), rules, context);
    with_context(&limits, read).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn s11_no_byte_for_the_idle_timeout_is_an_error() {
    let peer = Memory::new([(59_000, sends(b"a")), (118_000, sends(b"b"))]);
    let failure = poem(&Limits::default(), &peer).unwrap_err();
    assert_eq!(failure, FetchFailure::TimedOut(Timeout::Idle));
    assert_eq!(peer.now(), ms(178_000));
}

#[test]
fn s11_the_total_deadline_ends_a_poem_that_comes_slowly() {
    let peer = Memory::new((0..90).map(|second| (second * 1_000, sends(b"x"))));
    let limits = Limits {
        total_deadline: Some(ms(70_000)),
        ..Limits::default()
    };
    let failure = poem(&limits, &peer).unwrap_err();
    assert_eq!(failure, FetchFailure::TimedOut(Timeout::Total));
    assert_eq!(peer.now(), ms(70_000));
}

#[test]
fn s15_a_poem_fails_at_its_first_byte_over_the_limit() {
    let limits = Limits {
        poem_bytes_max: 6,
        ..Limits::default()
    };
    let fits = Memory::new([(1, sends(b"abc")), (2, sends(b"def")), (3, Finishes)]);
    assert_eq!(poem(&limits, &fits).as_deref(), Ok("abcdef"));
    let endless = Memory::new((0..).map(|at| (at, sends(b"abc"))).take(9));
    assert_eq!(
        poem(&limits, &endless),
        Err(FetchFailure::TooLong { limit: 6 })
    );
    assert_eq!(endless.now(), ms(2));
}

#[test]
fn s11_a_reset_in_mid_poem_is_a_lost_connection() {
    let peer = Memory::new([(0, sends(b"half a po")), (1, Resets)]);
    let failure = poem(&Limits::default(), &peer).unwrap_err();
    assert!(matches!(failure, FetchFailure::ConnectionLost { .. }));
}

#[test]
fn s13_each_way_a_reply_can_fail_has_its_own_failure() {
    let from = |bytes: &[u8]| reply(&Memory::new([(0, sends(bytes)), (1, Finishes)]));
    assert_eq!(from(b"4:ahoy,and more").as_deref(), Ok("ahoy"));
    assert_eq!(from(b"").as_deref(), Err(&FetchFailure::Refused));
    assert_eq!(from(b"4:ah").as_deref(), Err(&FetchFailure::CutShort));
    assert!(matches!(from(b"oh no"), Err(FetchFailure::Garbled(_))));
}

#[test]
fn s13_a_reply_may_arrive_in_many_pieces() {
    let pieces = b"12:abcdefghijkl,".iter().enumerate();
    let peer = Memory::new(pieces.map(|(at, &byte)| (at as u64, Sends(vec![byte]))));
    assert_eq!(reply(&peer).as_deref(), Ok("abcdefghijkl"));
}

#[test]
fn s13_a_server_that_takes_no_byte_of_the_request_times_out() {
    let peer = Memory::new([]).that_takes(3);
    let write =
        |context: &mut Context<'_>| context.write(&mut Timed::new(peer.clone()), b"10:shout.ahoy,");
    let failure = with_context(&Limits::default(), write).unwrap_err();
    assert_eq!(failure, FetchFailure::TimedOut(Timeout::Idle));
    assert_eq!(peer.now(), ms(60_000));
}

#[test]
fn s18_room_that_the_kernel_did_not_announce_is_found_when_the_idle_timeout_is_over() {
    let takes = [(59_900, TakesUnannounced(2)), (100_000, Takes(50))];
    let peer = Memory::new(takes).that_takes(3);
    let write =
        |context: &mut Context<'_>| context.write(&mut Timed::new(peer.clone()), b"10:shout.ahoy,");
    assert_eq!(with_context(&Limits::default(), write), Ok(()));
    assert_eq!(peer.received(), "10:shout.ahoy,");
    assert_eq!(peer.now(), ms(100_000));
}

/// The server takes a byte every second, so the idle timeout never passes.
#[test]
fn s15_the_total_deadline_bounds_writes_too() {
    for deadline in [5_000, 70_000] {
        let takes = (1..1_000).map(|second| (second * 1_000, Takes(1)));
        let peer = Memory::new(takes).that_takes(0);
        let limits = Limits {
            total_deadline: Some(ms(deadline)),
            ..Limits::default()
        };
        let write =
            |context: &mut Context<'_>| context.write(&mut Timed::new(peer.clone()), &[b'x'; 500]);
        let failure = with_context(&limits, write).unwrap_err();
        assert_eq!(failure, FetchFailure::TimedOut(Timeout::Total));
        assert_eq!(peer.now(), ms(deadline));
    }
}

#[test]
fn s9_a_client_that_keeps_a_spare_socket_connects_without_a_free_descriptor() {
    let name = "context::tests::connections_without_a_free_descriptor";
    let mut run = Command::new(env::current_exe().unwrap());
    run.args(["--exact", name, "--ignored"]);
    let run = run.output().unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn connections_without_a_free_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 24, hard).unwrap();
    let limits = Limits {
        connect_timeout: ms(300),
        ..Limits::default()
    };
    for (descriptors, connects) in [
        (Descriptors::with_spares(&[address]), true),
        (Descriptors::default(), false),
    ] {
        let taken: Vec<File> = from_fn(|| File::open("/dev/null").ok()).collect();
        let shared = Shared {
            descriptors,
            ..Shared::default()
        };
        with_shared(shared, &limits, |context| {
            for _ in 0..2 {
                assert_eq!(context.connect(&address.into()).is_ok(), connects);
            }
        });
        drop(taken);
    }
}
