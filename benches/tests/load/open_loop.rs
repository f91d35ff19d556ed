//! The open loop: what is counted, what waits, and what voids it.

use std::ops::ControlFlow;
use std::time::Duration;

use measure::load::{self, Arrival, Extent, Gaps, LoadError, Plan, Snapshot, Sources, Watch};

use super::latency::delayed;
use super::{floor, plan, replies, server};

pub(super) fn equal_gaps(rate: f64) -> Arrival {
    Arrival::Open {
        rate,
        gaps: Gaps::Equal,
    }
}

#[test]
fn all_requests_of_an_open_loop_are_answered_and_counted() {
    for keep_alive in [true, false] {
        for gaps in [Gaps::Equal, Gaps::Exponential] {
            let plan = Plan {
                connections: 8,
                keep_alive,
                arrival: Arrival::Open {
                    rate: 5_000.0,
                    gaps,
                },
                ..plan(floor(keep_alive), 500)
            };
            let report = load::run(&plan).unwrap();
            let open = report.open.unwrap();
            assert_eq!((open.due, open.sent, open.waiting), (500, 500, 0));
            assert_eq!((report.answered, report.latency.len()), (500, 500));
            assert_eq!(open.lateness.len(), 500);
            let connections = if keep_alive { 8 } else { 500 };
            assert_eq!(report.ledger.connections, connections);
            assert_eq!((report.ledger.requests, report.ledger.answered), (500, 500));
        }
    }
}

#[test]
fn an_open_loop_lasts_as_long_as_its_rate_says() {
    let plan = Plan {
        connections: 4,
        arrival: equal_gaps(100.0),
        ..plan(floor(true), 21)
    };
    let report = load::run(&plan).unwrap();
    // The last of 21 requests is due after 20 gaps.
    assert!(report.elapsed >= Duration::from_millis(200) - Duration::from_millis(1));
}

#[test]
fn what_a_server_cannot_answer_waits_and_is_in_the_latencies() {
    let (takes, timed) = (Duration::from_millis(20), Duration::from_millis(500));
    let plan = Plan {
        connections: 2,
        // Twice its capacity.
        arrival: equal_gaps(200.0),
        extent: Extent::For {
            warm_up: Duration::ZERO,
            timed,
        },
        ..plan(delayed(move |_| takes), 1)
    };
    let report = load::run(&plan).unwrap();
    let open = report.open.as_ref().unwrap();
    let offered = 200.0 * report.elapsed.as_secs_f64();
    assert!((open.due as f64 - offered).abs() <= 2.0, "{open:?}");
    assert!(open.sent + open.waiting >= open.due, "{open:?}");
    let possible = 2.0 * report.elapsed.as_secs_f64() / takes.as_secs_f64();
    assert!(report.answered as f64 <= possible + 1.0, "{report:?}");
    // Two may be in flight.
    assert!(open.waiting + report.answered + 2 >= open.due, "{report:?}");
    // Those due before the window opened are not in its latencies.
    assert!(report.latency.len().abs_diff(open.due) <= 3);
    // The last to be sent waited half the window.
    assert!(report.latency.max() as u128 > timed.as_nanos() / 3);
    // Waiting for the server is not the generator's own lateness.
    assert!(open.lateness.max() < report.latency.max(), "{report:?}");
}

#[test]
fn a_fault_of_the_server_voids_an_open_loop() {
    let lost = server(|mut stream| {
        let _first = std::io::Read::read(&mut stream, &mut [0; 1]);
        // Closing with unread input resets.
        drop(stream);
    });
    let silent =
        server(|mut stream| drop(std::io::Read::read_to_end(&mut stream, &mut Vec::new())));
    type Expected = fn(&LoadError) -> bool;
    let (soon, later) = (Duration::from_millis(50), Plan::STALL_TIMEOUT);
    let cases: [(_, _, Expected); 5] = [
        (replies(b"4:AHOy,"), later, |error| {
            matches!(error, LoadError::WrongByte { at: 5, .. })
        }),
        (replies(b"4:AHO"), later, |error| {
            matches!(error, LoadError::ClosedEarly { owed: 2 })
        }),
        (replies(b"4:AHOY,4:AHOY,"), later, |error| {
            matches!(error, LoadError::Excess { bytes: 7 })
        }),
        (lost, later, |error| matches!(error, LoadError::Lost(_))),
        (silent, soon, |error| {
            matches!(error, LoadError::Stalled { open: 1, .. })
        }),
    ];
    for (address, stall_timeout, is_expected) in cases {
        let plan = Plan {
            arrival: equal_gaps(1_000.0),
            stall_timeout,
            ..plan(address, 1)
        };
        let error = load::run(&plan).unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
}

#[test]
fn s5_a_server_that_closes_an_idle_connection_voids_an_open_loop() {
    let address = server(drop);
    let plan = Plan {
        arrival: equal_gaps(0.1),
        ..plan(address, 2)
    };
    let error = load::run(&plan).unwrap_err();
    assert!(
        matches!(error, LoadError::ClosedEarly { .. } | LoadError::Lost(_)),
        "{error}"
    );
}

#[test]
fn a_run_can_be_watched_and_stopped() {
    let mut looks = 0;
    let mut look = |snapshot: &Snapshot<'_>| {
        looks += 1;
        assert_eq!(snapshot.open, 2);
        match snapshot.answered >= 10 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let watch = Watch {
        every: Duration::from_millis(5),
        look: &mut look,
    };
    let plan = Plan {
        connections: 2,
        arrival: equal_gaps(500.0),
        ..plan(floor(true), 1_000_000)
    };
    let report = load::run_watched(&plan, &mut |_| {}, watch).unwrap();
    assert!(report.stopped && looks > 1);
    assert!(report.answered >= 10 && report.latency.len() >= 10);
}

#[test]
fn a_slow_rate_is_no_stall() {
    let plan = Plan {
        connections: 2,
        arrival: equal_gaps(2.5),
        stall_timeout: Duration::from_millis(300),
        ..plan(floor(true), 3)
    };
    assert_eq!(load::run(&plan).unwrap().answered, 3);
}

#[test]
fn an_open_loop_without_a_server_ends_at_once() {
    let closed_port = super::closed_port();
    for keep_alive in [true, false] {
        let plan = Plan {
            connections: 3,
            keep_alive,
            arrival: equal_gaps(1_000.0),
            ..plan(closed_port, 1_000_000)
        };
        let error = load::run(&plan).unwrap_err();
        assert!(matches!(error, LoadError::NoConnection(_)), "{error}");
    }
}

#[test]
fn connects_that_fail_in_an_open_loop_are_counted_and_the_others_go_on() {
    // The server takes one connection and then stops listening.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut request = [0; 14];
        std::io::Read::read_exact(&mut stream, &mut request).unwrap();
        std::io::Write::write_all(&mut stream, b"4:AHOY,").unwrap();
    });
    let plan = Plan {
        connections: 1,
        keep_alive: false,
        arrival: equal_gaps(200.0),
        ..plan(address, 10)
    };
    let report = load::run(&plan).unwrap();
    assert_eq!((report.answered, report.connect_errors), (1, 9));
    assert_eq!(report.open.unwrap().sent, 10);
    assert_eq!(report.latency.len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn connections_come_from_as_many_sources_as_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peers = std::thread::spawn(move || {
        let accepted = listener.incoming().flatten().take(4);
        let peers: Vec<_> = accepted
            .map(|mut stream| {
                let peer = stream.peer_addr().unwrap().ip().to_string();
                let mut request = [0; 14];
                std::io::Read::read_exact(&mut stream, &mut request).unwrap();
                std::io::Write::write_all(&mut stream, b"4:AHOY,").unwrap();
                peer
            })
            .collect();
        peers
    });
    let plan = Plan {
        keep_alive: false,
        sources: Sources::Each(3.try_into().unwrap()),
        ..plan(address, 4)
    };
    load::run(&plan).unwrap();
    let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"];
    assert_eq!(peers.join().unwrap(), expected);
}
