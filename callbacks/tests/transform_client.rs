//! The transform client in memory. Its callback and coroutine versions are the same program, so each test runs both.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{
    Deferred, FetchFailure, Limits, MemoryPeer, MemoryReactor, Peer, Poem, Reactor, Task, Via,
    transform_in_coroutine, transform_with,
};
use poetry::event::Unobserved;
use poetry::{Clock, Reporter, Role};

type Version = fn(&Reactor, &Via, &Poem, &Rc<Task>) -> Deferred<Poem>;
const VERSIONS: [Version; 2] = [transform_with, transform_in_coroutine];

/// Begins a transform in memory.
fn begin(version: Version, poem: &str) -> (MemoryReactor, Deferred<Poem>) {
    let reactor = MemoryReactor::new();
    let limits = Limits {
        frame_bytes_max: 50,
        ..Limits::default()
    };
    let reporter = Reporter::new(
        "callbacks",
        Role::TransformClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let task = Task::new(&reactor, limits, &reporter);
    let addresses = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
    let via = Via {
        transform: "shout".to_owned(),
        peer: Peer::new("somewhere", addresses),
    };
    let transformed = version(&reactor, &via, &Poem::from(poem), &task);
    (reactor, transformed)
}

/// Returns the first server, connected.
fn connected(reactor: &MemoryReactor) -> MemoryPeer {
    let peer = reactor.dialled().remove(0);
    peer.accept();
    reactor.settle();
    peer
}

fn failure(transformed: Deferred<Poem>) -> FetchFailure {
    transformed
        .take_result()
        .unwrap()
        .unwrap_err()
        .trap()
        .unwrap()
}

#[test]
fn s13_the_request_goes_out_and_the_reply_comes_back() {
    for version in VERSIONS {
        let (reactor, transformed) = begin(version, "ahoy");
        let peer = connected(&reactor);
        assert_eq!(peer.received(), b"10:shout.ahoy,");
        for byte in b"4:AHOY," {
            peer.send(&[*byte]);
            reactor.settle();
        }
        assert_eq!(transformed.take_result().unwrap().unwrap().as_str(), "AHOY");
        assert!(peer.is_closed());
    }
}

#[test]
fn s13_addresses_are_tried_in_order() {
    for version in VERSIONS {
        let (reactor, transformed) = begin(version, "ahoy");
        reactor.dialled()[0].fail(ErrorKind::ConnectionRefused);
        reactor.settle();
        let peer = connected(&reactor);
        assert_eq!(peer.address().port(), 2);
        peer.send(b"0:,");
        reactor.settle();
        assert_eq!(transformed.take_result().unwrap().unwrap().as_str(), "");
    }
}

#[test]
fn s13_failures_are_distinguished() {
    let ends: [(&[u8], FetchFailure); 3] = [
        (b"", FetchFailure::Refused),
        (b"4:AH", FetchFailure::CutShort),
        (b"1:\xff,", FetchFailure::NotUtf8 { at: 0 }),
    ];
    for version in VERSIONS {
        for (bytes, expected) in &ends {
            let (reactor, transformed) = begin(version, "ahoy");
            let peer = connected(&reactor);
            peer.send(bytes);
            peer.finish();
            reactor.settle();
            assert_eq!(failure(transformed), *expected);
        }
        let (reactor, transformed) = begin(version, &"long".repeat(20));
        assert_eq!(failure(transformed), FetchFailure::TooLong { limit: 50 });
        assert!(reactor.dialled().is_empty());
    }
}

#[test]
fn s14_a_cancel_closes_the_socket_at_once() {
    for version in VERSIONS {
        let (reactor, transformed) = begin(version, "ahoy");
        let peer = connected(&reactor);
        transformed.cancel();
        reactor.settle();
        assert!(peer.is_closed());
        assert_eq!(failure(transformed), FetchFailure::Cancelled);
    }
}
