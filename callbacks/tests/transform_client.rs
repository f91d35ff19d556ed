//! The transform client in memory, in both its shapes: they are the same program, so one set of tests runs on either.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{Deferred, MemoryReactor, Peer, Reactor, Task, transform, transform_in_coroutine};
use poetry::event::Unobserved;
use poetry::{Clock, FetchFailure, Limits, Reporter, Role, Via};

type Shape = fn(&Reactor, &Via, &str, &Rc<Task>) -> Deferred<String>;
const SHAPES: [Shape; 2] = [transform, transform_in_coroutine];

/// A transform under way, in memory.
fn begin(shape: Shape, poem: &str) -> (MemoryReactor, Deferred<String>) {
    let reactor = MemoryReactor::new();
    let limits = Rc::new(Limits {
        frame_bytes_max: 50,
        ..Limits::default()
    });
    let reporter = Reporter::new(
        "callbacks",
        Role::TransformClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let task = Task::begin(&reactor, &limits, &reporter, 0, 0);
    let addresses = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
    let via = Via {
        transform: "shout".to_owned(),
        peer: poetry::Peer::new("somewhere", addresses),
    };
    let transformed = shape(&reactor, &via, poem, &task);
    (reactor, transformed)
}

/// The first server, connected.
fn connected(reactor: &MemoryReactor) -> Peer {
    let peer = reactor.dialled().remove(0);
    peer.accept();
    reactor.settle();
    peer
}

fn failure(transformed: Deferred<String>) -> FetchFailure {
    transformed
        .take_result()
        .unwrap()
        .unwrap_err()
        .trap()
        .unwrap()
}

#[test]
fn s13_the_request_goes_out_and_the_reply_comes_back() {
    for shape in SHAPES {
        let (reactor, transformed) = begin(shape, "ahoy");
        let peer = connected(&reactor);
        assert_eq!(peer.received(), b"10:shout.ahoy,");
        for byte in b"4:AHOY," {
            peer.send(&[*byte]);
            reactor.settle();
        }
        assert_eq!(transformed.take_result().unwrap().unwrap(), "AHOY");
        assert!(peer.is_closed());
    }
}

#[test]
fn s13_addresses_are_tried_in_order() {
    for shape in SHAPES {
        let (reactor, transformed) = begin(shape, "ahoy");
        reactor.dialled()[0].fail(ErrorKind::ConnectionRefused);
        reactor.settle();
        let peer = connected(&reactor);
        assert_eq!(peer.address().port(), 2);
        peer.send(b"0:,");
        reactor.settle();
        assert_eq!(transformed.take_result().unwrap().unwrap(), "");
    }
}

#[test]
fn s13_failures_are_told_apart() {
    let ends: [(&[u8], FetchFailure); 3] = [
        (b"", FetchFailure::Refused),
        (b"4:AH", FetchFailure::CutShort),
        (b"1:\xff,", FetchFailure::NotUtf8 { at: 0 }),
    ];
    for shape in SHAPES {
        for (bytes, expected) in &ends {
            let (reactor, transformed) = begin(shape, "ahoy");
            let peer = connected(&reactor);
            peer.send(bytes);
            peer.finish();
            reactor.settle();
            assert_eq!(failure(transformed), *expected);
        }
        let (reactor, transformed) = begin(shape, &"long".repeat(20));
        assert_eq!(failure(transformed), FetchFailure::TooLong { limit: 50 });
        assert!(reactor.dialled().is_empty());
    }
}

#[test]
fn s14_a_cancel_closes_the_socket_at_once() {
    for shape in SHAPES {
        let (reactor, transformed) = begin(shape, "ahoy");
        let peer = connected(&reactor);
        transformed.cancel();
        reactor.settle();
        assert!(peer.is_closed());
        assert_eq!(failure(transformed), FetchFailure::Cancelled);
    }
}
