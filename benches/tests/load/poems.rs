//! Poems without a frame, of a poem server; and clients that leave midway.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use measure::exchange::Exchange;
use measure::load::{self, Arrival, Leave, LoadError, Plan, learn_library, learn_poem};
use measure::poems::SlowServer;
use poetry::{Pace, Poem};

use super::open_loop::equal_gaps;
use super::{plan, server};

const POEM: &str = "Count what was asked,\ncount what was told.\n";

/// A load of `poems` poems, one each.
fn poems(address: SocketAddr, poems: u64) -> Plan {
    Plan {
        keep_alive: false,
        exchange: Exchange::poem(POEM),
        ..plan(address, poems)
    }
}

#[test]
fn s1_many_slow_poems_are_read_at_once() {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(20).unwrap(),
        delay: Duration::from_millis(20),
    };
    let server = SlowServer::start(Poem::from(POEM), pace, None).unwrap();
    for arrival in [Arrival::Closed, equal_gaps(2_000.0)] {
        let plan = Plan {
            connections: 200,
            arrival,
            ..poems(server.address(), 200)
        };
        let report = load::run(&plan).unwrap();
        let bytes = 200 * POEM.len() as u64;
        assert_eq!((report.answered, report.received), (200, bytes));
        assert_eq!((report.latency.len(), report.left), (200, 0));
        let ledger = report.ledger;
        assert_eq!((ledger.connections, ledger.requests), (200, 200));
        assert_eq!((ledger.bytes_in, ledger.bytes_out), (bytes, 0));
        // Three chunks, and FIN one delay after the last.
        assert!(
            report.latency.min() >= 59_000_000,
            "{}",
            report.latency.min()
        );
        assert_eq!(report.fairness, None);
    }
}

#[test]
fn what_a_server_sends_first_can_be_taken_as_what_it_must_send() {
    let poem = server(|mut stream| drop(stream.write_all(POEM.as_bytes())));
    let exchange = learn_poem(poem, Plan::STALL_TIMEOUT).unwrap();
    assert_eq!(exchange, Exchange::poem(POEM));
    let empty = learn_poem(server(drop), Plan::STALL_TIMEOUT).unwrap_err();
    assert!(matches!(empty, LoadError::Plan(_)), "{empty}");

    let library = |reply: &'static [u8]| {
        server(move |mut stream| {
            let _asked = stream.read_exact(&mut [0; 7]);
            let _gone = stream.write_all(reply);
        })
    };
    let name = "star".parse().unwrap();
    let learn = |reply| learn_library(library(reply), &name, Plan::STALL_TIMEOUT);
    let exchange = learn(b"4:ahoy,").unwrap();
    assert_eq!(exchange, Exchange::library(&name, "ahoy").unwrap());
    let refused = learn(b"").unwrap_err();
    assert!(
        matches!(refused, LoadError::ClosedEarly { .. }),
        "{refused}"
    );
    let garbled = learn(b"ahoy").unwrap_err();
    assert!(matches!(garbled, LoadError::Plan(_)), "{garbled}");
}

#[test]
fn a_poem_is_verified_to_its_fin() {
    let serve = |poem: &'static str| {
        server(move |mut stream| {
            let _gone = stream.write_all(poem.as_bytes());
        })
    };
    let short = load::run(&poems(serve("Count what"), 1)).unwrap_err();
    assert!(matches!(short, LoadError::ClosedEarly { .. }), "{short}");
    let wrong = load::run(&poems(serve("Count who was asked"), 1)).unwrap_err();
    assert!(
        matches!(wrong, LoadError::WrongByte { at: 8, .. }),
        "{wrong}"
    );
    let excess = server(|mut stream| {
        let _gone = stream.write_all([POEM, "x"].concat().as_bytes());
    });
    let excess = load::run(&poems(excess, 1)).unwrap_err();
    assert!(matches!(excess, LoadError::Excess { bytes: 1 }), "{excess}");
    let open = server(|mut stream| {
        let _gone = stream.write_all(POEM.as_bytes());
        let _gone = stream.read_to_end(&mut Vec::new());
    });
    let plan = Plan {
        stall_timeout: Duration::from_millis(50),
        ..poems(open, 1)
    };
    let stalled = load::run(&plan).unwrap_err();
    assert!(matches!(stalled, LoadError::Stalled { .. }), "{stalled}");
}

#[test]
fn clients_that_leave_reset_their_connection_and_are_replaced() {
    for after in [0, 10] {
        let (tell, ends) = mpsc::channel();
        // Serves the poem but for its last byte, which it sends to nobody who leaves.
        let address = server(move |mut stream| {
            let sent = stream.write_all(&POEM.as_bytes()[..POEM.len() - 1]);
            let end = sent.and_then(|()| stream.read(&mut [0; 1]));
            let _gone = tell.send(end.map_err(|error| error.kind()));
        });
        let plan = Plan {
            connections: 2,
            leave: Some(Leave { share: 1.0, after }),
            ..poems(address, 6)
        };
        let report = load::run(&plan).unwrap();
        assert_eq!((report.left, report.answered), (6, 0));
        assert_eq!(report.ledger.connections, 6);
        for _ in 0..6 {
            let end = ends.recv_timeout(Plan::STALL_TIMEOUT).unwrap();
            assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
        }
    }
}

#[test]
fn a_share_leaves_and_the_others_get_their_poem() {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(40).unwrap(),
        delay: Duration::from_millis(1),
    };
    let server = SlowServer::start(Poem::from(POEM), pace, None).unwrap();
    let plan = Plan {
        connections: 20,
        leave: Some(Leave {
            share: 0.5,
            after: 1,
        }),
        ..poems(server.address(), 200)
    };
    let report = load::run(&plan).unwrap();
    assert_eq!(report.left + report.answered, 200);
    assert!((50..150).contains(&report.left), "{}", report.left);
    assert_eq!(report.latency.len(), report.answered);
}
