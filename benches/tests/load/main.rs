//! The load generator against the floor, and against small servers that misbehave or are slow in a known way.

mod latency;
mod open_loop;
mod poems;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use measure::exchange::Exchange;
use measure::floor::Floor;
use measure::load::{self, Extent, Leave, Ledger, LoadError, Mark, Plan, hold};

/// The generator's stall timeout in tests.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

fn floor(keep_alive: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let floor = Floor::new(listener, keep_alive).unwrap();
    let address = floor.address().unwrap();
    thread::spawn(|| floor.run());
    address
}

/// Accepts connections and calls `behave` with each, one after another.
fn server(behave: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(behave));
    address
}

/// Reads one request, answers with `reply`, and discards further input.
fn replies(reply: &'static [u8]) -> SocketAddr {
    server(move |mut stream| {
        let mut request = [0; 10 + 4];
        if stream.read_exact(&mut request).is_ok() {
            let _gone = stream.write_all(reply);
            let _gone = stream.shutdown(std::net::Shutdown::Write);
            let _gone = stream.read_to_end(&mut Vec::new());
        }
    })
}

fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn plan(address: SocketAddr, requests: u64) -> Plan {
    Plan {
        connections: 1,
        exchange: Exchange::transform("shout", "ahoy").unwrap(),
        extent: Extent::Requests(requests),
        stall_timeout: STALL_TIMEOUT,
        ..Plan::new(address).unwrap()
    }
}

#[test]
fn all_requests_are_answered_and_in_the_ledger() {
    let cases = [
        (1, 1, 600, 1_000),
        (64, 1, 600, 1_000),
        (8, 16, 600, 1_000),
        (3, 5, 90_000, 100),
    ];
    for (connections, depth, bytes, requests) in cases {
        let exchange = Exchange::cummingsify(bytes).unwrap();
        let expected = Ledger {
            connections,
            requests,
            answered: requests,
            bytes_in: requests * exchange.reply.len() as u64,
            bytes_out: requests * exchange.request.len() as u64,
        };
        let plan = Plan {
            connections: connections as usize,
            depth,
            exchange,
            ..plan(floor(true), requests)
        };
        let report = load::run(&plan).unwrap();
        assert_eq!(report.ledger, expected);
        assert_eq!((report.answered, report.connect_errors), (requests, 0));
    }
}

#[test]
fn s5_one_shot_makes_a_connection_for_every_request() {
    let plan = Plan {
        connections: 16,
        keep_alive: false,
        ..plan(floor(false), 1_000)
    };
    let ledger = load::run(&plan).unwrap().ledger;
    assert_eq!(
        (ledger.connections, ledger.requests, ledger.answered),
        (1_000, 1_000, 1_000)
    );
}

#[test]
fn the_window_lies_between_its_marks() {
    let timed = Duration::from_millis(50);
    let plan = Plan {
        connections: 4,
        extent: Extent::For {
            warm_up: Duration::from_millis(20),
            timed,
        },
        ..plan(floor(true), 1)
    };
    let mut marks = Vec::new();
    let report = load::run_marked(&plan, &mut |mark| marks.push(mark)).unwrap();
    let [Mark::Begin { answered: begin }, Mark::End { answered: end }] = marks[..] else {
        panic!("{marks:?}");
    };
    assert_eq!(report.answered, end - begin);
    assert!(report.ledger.answered >= end && report.elapsed >= timed);
    assert_eq!(report.ledger.answered, report.ledger.requests);
}

#[test]
fn a_wrong_byte_voids_the_run() {
    let error = load::run(&plan(replies(b"4:AHOy,"), 1)).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::WrongByte {
                reply: 0,
                at: 5,
                expected: b'Y',
                found: b'y'
            }
        ),
        "{error}"
    );
}

#[test]
fn a_short_reply_voids_the_run() {
    let error = load::run(&plan(replies(b"4:AHO"), 1)).unwrap_err();
    assert!(
        matches!(error, LoadError::ClosedEarly { owed: 2 }),
        "{error}"
    );
}

#[test]
fn s4_a_close_without_a_reply_voids_the_run() {
    let error = load::run(&plan(replies(b""), 1)).unwrap_err();
    assert!(
        matches!(error, LoadError::ClosedEarly { owed: 7 }),
        "{error}"
    );
}

#[test]
fn an_excess_reply_voids_the_run_even_after_the_last_request() {
    for keep_alive in [true, false] {
        let plan = Plan {
            keep_alive,
            ..plan(replies(b"4:AHOY,4:AHOY,"), 1)
        };
        let error = load::run(&plan).unwrap_err();
        assert!(matches!(error, LoadError::Excess { bytes: 7 }), "{error}");
    }
}

#[test]
fn a_server_of_another_protocol_is_found_by_its_first_wrong_byte() {
    let error = load::run(&plan(replies(b"a poem longer than the reply"), 1)).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::WrongByte {
                reply: 0,
                at: 0,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn s5_a_server_that_closes_between_requests_voids_a_keep_alive_run() {
    let error = load::run(&plan(replies(b"4:AHOY,"), 2)).unwrap_err();
    assert!(
        matches!(error, LoadError::ClosedEarly { .. } | LoadError::Lost(_)),
        "{error}"
    );
}

#[test]
fn a_silent_server_stalls_the_run() {
    let address = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let plan = Plan {
        stall_timeout: Duration::from_millis(50),
        ..plan(address, 1)
    };
    let error = load::run(&plan).unwrap_err();
    assert!(
        matches!(error, LoadError::Stalled { open: 1, .. }),
        "{error}"
    );
}

#[test]
fn s5_a_one_shot_server_that_does_not_close_stalls_the_run() {
    let plan = Plan {
        keep_alive: false,
        stall_timeout: Duration::from_millis(50),
        ..plan(floor(true), 1)
    };
    let error = load::run(&plan).unwrap_err();
    assert!(matches!(error, LoadError::Stalled { .. }), "{error}");
}

#[test]
fn a_reset_voids_the_run() {
    let address = server(|stream| {
        let mut byte = [0; 1];
        let _first = (&stream).read(&mut byte);
        // Closing with unread input resets.
        drop(stream);
    });
    let error = load::run(&plan(address, 1)).unwrap_err();
    assert!(matches!(error, LoadError::Lost(_)), "{error}");
}

#[test]
fn failed_connects_are_counted_and_not_retried() {
    let closed_port = closed_port();
    for keep_alive in [true, false] {
        let plan = Plan {
            connections: 3,
            keep_alive,
            ..plan(closed_port, 9)
        };
        let error = load::run(&plan).unwrap_err();
        assert!(matches!(error, LoadError::NoConnection(_)), "{error}");
    }
}

#[test]
fn an_invalid_plan_is_refused() {
    let pipelined = Plan {
        keep_alive: false,
        depth: 2,
        ..plan(floor(false), 1)
    };
    let idle = Plan {
        connections: 0,
        ..plan(floor(true), 1)
    };
    let deep = Plan {
        depth: 2,
        arrival: open_loop::equal_gaps(1.0),
        ..plan(floor(true), 1)
    };
    let never = Plan {
        arrival: open_loop::equal_gaps(0.0),
        ..plan(floor(true), 1)
    };
    let unframed = Plan {
        exchange: Exchange::poem("ahoy"),
        ..plan(floor(true), 1)
    };
    let leaves_late = Plan {
        keep_alive: false,
        leave: Some(Leave {
            share: 1.0,
            after: 7,
        }),
        ..plan(floor(true), 1)
    };
    let nothing = plan(floor(true), 0);
    for plan in [pipelined, idle, deep, never, unframed, leaves_late, nothing] {
        assert!(matches!(load::run(&plan), Err(LoadError::Plan(_))));
    }
}

#[test]
fn each_held_connection_has_made_one_request() {
    let exchange = Exchange::transform("shout", "ahoy").unwrap();
    let mut held = hold(floor(true), exchange, 3, STALL_TIMEOUT).unwrap();
    held.grow(5).unwrap();
    assert_eq!(held.connections(), 5);
    let ledger = held.release().unwrap();
    assert_eq!((ledger.connections, ledger.answered), (5, 5));
    assert_eq!((ledger.bytes_in, ledger.bytes_out), (35, 70));
}

#[test]
fn replies_on_held_connections_are_verified() {
    let exchange = Exchange::transform("shout", "ahoy").unwrap();
    let wrong = hold(replies(b"4:AHOx,"), exchange.clone(), 1, STALL_TIMEOUT).unwrap_err();
    assert!(
        matches!(wrong, LoadError::WrongByte { at: 5, .. }),
        "{wrong}"
    );
    let short = hold(replies(b"4:"), exchange.clone(), 1, STALL_TIMEOUT).unwrap_err();
    assert!(matches!(short, LoadError::ClosedEarly { .. }), "{short}");
    let held = hold(replies(b"4:AHOY,4:AHOY,"), exchange, 1, STALL_TIMEOUT).unwrap();
    let excess = held.release().unwrap_err();
    assert!(matches!(excess, LoadError::Excess { .. }), "{excess}");
}
