//! Latencies, of servers whose own latency is known. They wait by a timer before they reply: they are the subject.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use measure::exchange::Exchange;
use measure::load::{self, Arrival, Extent, Latency, Mix, Plan};

use super::open_loop::equal_gaps;
use super::{floor, plan};

/// Requests have this form: a poem of four bytes.
const REQUEST: &[u8] = b"10:shout.ahoy,";
/// The latencies of histograms have three significant digits.
const PRECISION: f64 = 1e-3;

/// Answers each request after the time that `wait` gives for its poem, on a thread for each connection.
pub(super) fn delayed(wait: impl Fn(&[u8]) -> Duration + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let wait = Arc::new(wait);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let wait = Arc::clone(&wait);
            thread::spawn(move || answer(stream, &*wait));
        }
    });
    address
}

fn answer(mut stream: TcpStream, wait: &dyn Fn(&[u8]) -> Duration) {
    let mut request = [0; REQUEST.len()];
    while stream.read_exact(&mut request).is_ok() {
        let poem = &request[REQUEST.len() - 5..REQUEST.len() - 1];
        thread::sleep(wait(poem));
        let reply = [b"4:", poem.to_ascii_uppercase().as_slice(), b","].concat();
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

/// Checks that every latency is at least `known`, and the least of them is not far above it: the others may be, since the machine
/// may be busy.
fn assert_known(latency: &Latency, known: Duration) {
    let known = known.as_nanos() as f64;
    let least = latency.min() as f64;
    assert!(least >= known * (1.0 - PRECISION), "{least} of {known}");
    assert!(least < known * 2.0, "{least} of {known}");
}

#[test]
fn a_known_latency_is_measured_in_both_loops() {
    let known = Duration::from_millis(40);
    let address = delayed(move |_| known);
    for arrival in [Arrival::Closed, equal_gaps(100.0)] {
        let plan = Plan {
            connections: 8,
            arrival,
            ..plan(address, 40)
        };
        let report = load::run(&plan).unwrap();
        assert_eq!((report.answered, report.latency.len()), (40, 40));
        assert_known(&report.latency, known);
        assert!(report.first_reply >= known);
    }
}

#[test]
fn each_pipelined_request_has_its_own_latency() {
    let known = Duration::from_millis(10);
    let plan = Plan {
        depth: 4,
        ..plan(delayed(move |_| known), 12)
    };
    let report = load::run(&plan).unwrap();
    // The first four are sent at once, and answered one after another. How long the later ones wait depends on how soon the
    // generator runs again.
    let least = known.as_nanos() as f64 * (1.0 - PRECISION);
    let above = |times: f64| {
        let times_known = (least * times) as u64;
        report.latency.count_between(times_known, u64::MAX)
    };
    assert_eq!((report.latency.len(), above(1.0)), (12, 12));
    for (times, count) in [(2.0, 3), (3.0, 2), (4.0, 1)] {
        assert!(above(times) >= count, "{} of {times} times", above(times));
    }
}

#[test]
fn the_two_exchanges_of_a_mix_are_timed_apart() {
    let (fast, slow) = (Duration::from_millis(1), Duration::from_millis(50));
    let wait = move |poem: &[u8]| if poem == b"slow" { slow } else { fast };
    let plan = Plan {
        connections: 4,
        mix: Some(Mix {
            share: 0.1,
            exchange: Exchange::transform("shout", "slow").unwrap(),
        }),
        seed: 5,
        ..plan(delayed(wait), 200)
    };
    let report = load::run(&plan).unwrap();
    let other = report.other_latency.unwrap();
    assert_eq!(report.latency.len() + other.len(), 200);
    assert!((5..60).contains(&other.len()), "{}", other.len());
    assert_known(&other, slow);
    assert!(report.latency.min() < slow.as_nanos() as u64);
    let again = load::run(&plan).unwrap().other_latency.unwrap();
    assert_eq!(
        again.len(),
        other.len(),
        "the seed chooses the same requests"
    );
}

#[test]
fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    let stall = Duration::from_millis(400);
    let timed = Duration::from_millis(1_000);
    let at_99 = |arrival| {
        let requests = AtomicU64::new(0);
        // Not the first request, which is sent before the window opens.
        let wait = move |_: &[u8]| match requests.fetch_add(1, Ordering::Relaxed) {
            10 => stall,
            _ => Duration::ZERO,
        };
        let plan = Plan {
            connections: 1,
            arrival,
            extent: Extent::For {
                warm_up: Duration::ZERO,
                timed,
            },
            ..plan(delayed(wait), 1)
        };
        let report = load::run(&plan).unwrap();
        let most = report.latency.max();
        assert!(most as f64 >= stall.as_nanos() as f64 * (1.0 - PRECISION));
        let requests = report.latency.len();
        if let Some(open) = report.open {
            assert_eq!(requests, open.due);
        }
        (report.latency.value_at_quantile(0.99), requests)
    };
    let half = stall.as_nanos() as u64 / 2;
    let (open, requests) = at_99(equal_gaps(200.0));
    assert!(open > half && requests >= 199, "{open}, {requests}");
    // One request of very many waited.
    let (closed, requests) = at_99(Arrival::Closed);
    assert!(closed < half && requests > 200, "{closed}, {requests}");
}

#[test]
fn a_server_that_does_nothing_shows_the_ceiling_of_the_generator() {
    let plan = Plan {
        extent: Extent::For {
            warm_up: Duration::from_millis(50),
            timed: Duration::from_millis(200),
        },
        connections: 64,
        ..plan(floor(true), 1)
    };
    let report = load::run(&plan).unwrap();
    println!(
        "the generator's ceiling here: {:.0} requests/s, {:.2} of a core",
        report.rate(),
        report.client_share().unwrap_or_default()
    );
    // Those in flight when the window opened or closed are the difference.
    assert!(report.answered.abs_diff(report.latency.len()) <= 64);
    let fairness = report.fairness.unwrap();
    assert!(fairness.fewest <= fairness.median);
    assert!(fairness.fewest * 64 <= report.answered);
}
