//! Let it crash: one request in a hundred panics, and no other connection is affected (S20, O2, O4). The only test of its
//! process, because it counts the process's descriptors and memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actors::Actors;
use poetry::event::{Event, Interest, Kind, Observer};
use poetry::{Clock, Counts, Model, Options, Server, Service, TransformService};

const DEADLINE: Duration = Duration::from_secs(10);
/// Every hundredth request crashes.
const CRASHES_ONE_IN: u64 = 100;
const WARM_UP: u64 = 2_000;
const REQUESTS: u64 = 8_000;
/// The memory that the allocator may retain. A leak of a connection's memory for each crash would exceed it.
const GROWTH_BYTES_MAX: usize = 2 << 20;

#[derive(Default)]
struct CountsPanics(AtomicU64);

impl Observer for CountsPanics {
    fn interest(&self) -> Interest {
        Interest::PANICKED
    }

    fn observe(&self, event: &Event) {
        assert!(matches!(&event.kind, Kind::Panicked(message) if !message.is_empty()));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn s20_one_crash_in_a_hundred_costs_only_itself() {
    poetry::panics::silence_contained();
    let panics = Arc::new(CountsPanics::default());
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
        offload: false,
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = Options::new(Clock::stopped());
    let server = Actors
        .serve(listener, service, &options, panics.clone())
        .unwrap();

    let crashed = ask(server.address(), WARM_UP);
    let warm = until(&*server, |counts| counts.open == 0);
    assert_eq!(
        (warm.closed.panic, warm.answered),
        (crashed, WARM_UP - crashed)
    );
    let (descriptors, memory) = (descriptors(), memory());

    let crashed = crashed + ask(server.address(), REQUESTS);
    let counts = until(&*server, |counts| counts.open == 0);
    assert_eq!(crashed, (WARM_UP + REQUESTS) / CRASHES_ONE_IN);
    assert_eq!(counts.answered, WARM_UP + REQUESTS - crashed);
    assert_eq!((counts.failed, counts.closed.panic), (crashed, crashed));
    assert_eq!(panics.0.load(Ordering::Relaxed), crashed);
    // The connection supervisor has counted each of them once.
    let tree = server.details().unwrap();
    assert!(tree.contains(&format!(" {crashed} crashed,")), "{tree}");
    // A connection is counted as closed just before its socket is closed.
    until(&*server, |_| self::descriptors() <= descriptors);
    let growth = self::memory().saturating_sub(memory);
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more");
}

/// Sends one request after another, over one connection until it is lost. Returns how many crashed.
fn ask(address: SocketAddr, requests: u64) -> u64 {
    let mut crashed = 0;
    let mut stream = connect(address);
    for request in 1..=requests {
        let mut reply = [0; 7];
        if request % CRASHES_ONE_IN == 0 {
            stream.write_all(b"8:crash.ok,").unwrap();
            assert_eq!(stream.read(&mut reply).unwrap(), 0);
            stream = connect(address);
            crashed += 1;
        } else {
            stream.write_all(b"10:shout.ahoy,").unwrap();
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"4:AHOY,");
        }
    }
    crashed
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn until(server: &dyn Server, wanted: impl Fn(&Counts) -> bool) -> Counts {
    let begun = Instant::now();
    loop {
        let counts = server.counters();
        if wanted(&counts) {
            return counts;
        }
        assert!(begun.elapsed() < DEADLINE, "{counts:?}");
        std::thread::yield_now();
    }
}

/// Returns the number of descriptors this process has open; 0 if not on Linux.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Returns the bytes this process has in memory; 0 if not on Linux.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<usize>().ok());
    resident.unwrap_or(0) * 4_096
}
