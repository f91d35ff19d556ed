//! Crashes of the processes that a server's supervisor restarts: what the tree shows, and what goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use actors::Actors;
use poetry::event::{Event, Interest, Unobserved};
use poetry::{
    Clock, Counts, Kind, Model, Observer, Options, Pace, PoemService, ProxyService, Server, Service,
};
use poetry::{Poem, TransformService};

const DEADLINE: Duration = Duration::from_secs(10);
const CAUSE: &str = "↻ restarted: crash: asked for in the laboratory";

/// The panics that a server reports.
#[derive(Default)]
struct Reported(Mutex<Vec<String>>);

impl Observer for Reported {
    fn interest(&self) -> Interest {
        Interest::PANICKED
    }

    fn observe(&self, event: &Event) {
        if let Kind::Panicked(message) = &event.kind {
            self.0.lock().unwrap().push(message.clone());
        }
    }
}

fn serve(service: Service) -> Box<dyn Server> {
    serve_with(service, Arc::new(Unobserved))
}

fn serve_with(service: Service, observer: Arc<dyn Observer>) -> Box<dyn Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = Options::new(Clock::stopped());
    Actors.serve(listener, service, &options, observer).unwrap()
}

fn transforms(offload: bool) -> Box<dyn Server> {
    serve(Service::Transform(TransformService {
        keep_alive: true,
        lab: None,
        offload,
    }))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"10:shout.ahoy,").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"4:AHOY,");
}

/// Crashes `part`, and returns the tree once `shown` is in it.
fn crash(server: &dyn Server, part: &str, shown: &str) -> String {
    assert!(server.crash(part), "{part}: {:?}", server.parts());
    let begun = Instant::now();
    loop {
        let tree = server.details().unwrap();
        if tree.contains(shown) {
            return tree;
        }
        assert!(begun.elapsed() < DEADLINE, "no {shown:?} in {tree}");
        thread::yield_now();
    }
}

/// Returns the line of `name` in the tree, and the one below it.
fn lines<'t>(tree: &'t str, name: &str) -> [&'t str; 2] {
    let mut lines = tree.lines();
    let line = lines
        .find(|line| line.contains(&format!("─ {name} (")))
        .unwrap();
    [line, lines.next().unwrap_or_default()]
}

fn stop(server: Box<dyn Server>) -> Counts {
    let counts = server.shutdown(DEADLINE).counters;
    assert_eq!(counts.check(), Ok(()));
    counts
}

#[test]
fn o5_o6_a_crashed_acceptor_is_restarted_and_no_connection_notices() {
    let server = transforms(false);
    let mut before = connect(server.address());
    ask(&mut before);
    assert_eq!(server.parts(), ["connections-0", "acceptor"]);
    assert!(!server.details().unwrap().contains('↻'));
    let tree = crash(&*server, "acceptor", "acceptor (1 restart, mailbox");
    assert!(lines(&tree, "acceptor")[1].ends_with(CAUSE), "{tree}");
    assert!(
        lines(&tree, "connections-0")[0].contains("0 restarts"),
        "{tree}"
    );
    assert_eq!(tree.matches('↻').count(), 1, "{tree}");
    let tree = server.live_details().unwrap();
    assert!(tree.contains(" s ago: crash: asked for"), "{tree}");
    ask(&mut before);
    ask(&mut connect(server.address()));
    drop(before);
    let counts = stop(server);
    assert_eq!((counts.answered, counts.accepted), (3, 2));
}

#[test]
fn o5_o6_a_crashed_connection_supervisor_takes_its_connections_and_the_acceptor_along() {
    let server = transforms(true);
    let mut lost = connect(server.address());
    ask(&mut lost);
    assert_eq!(server.parts(), ["connections-0", "workers", "acceptor"]);
    // The acceptor is started last.
    let tree = crash(&*server, "connections-0", "acceptor (0 restarts, mailbox");
    assert!(
        lines(&tree, "connections-0")[0].contains("1 restart,"),
        "{tree}"
    );
    assert!(lines(&tree, "connections-0")[1].ends_with(CAUSE), "{tree}");
    for sibling in ["workers", "acceptor"] {
        let [line, restarted] = lines(&tree, sibling);
        assert!(line.contains("0 restarts"), "{tree}");
        assert!(
            restarted.ends_with("↻ restarted with connections-0"),
            "{tree}"
        );
    }
    assert!(matches!(lost.read(&mut [0]), Ok(0) | Err(_)));
    ask(&mut connect(server.address()));
    let counts = stop(server);
    assert_eq!((counts.answered, counts.accepted), (2, 2));
}

#[test]
fn o5_s9_a_crashed_cache_resets_the_clients_that_wait_and_its_successor_fetches_again() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = upstream.local_addr().unwrap();
    let server = serve(Service::Proxy(ProxyService {
        upstream: address.into(),
        ttl: None,
    }));
    let mut waits = connect(server.address());
    // The upstream sends nothing, so the first fetch does not end by itself.
    let (_first, _) = upstream.accept().unwrap();
    let tree = crash(&*server, "cache", "↻ restarted with cache");
    assert!(
        lines(&tree, "cache")[0].contains("empty, 1 restart,"),
        "{tree}"
    );
    let lost = waits.read(&mut [0]).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::ConnectionReset);
    let mut served = connect(server.address());
    let (mut second, _) = upstream.accept().unwrap();
    second.write_all(b"Stars fall.").unwrap();
    drop(second);
    let mut poem = String::new();
    served.read_to_string(&mut poem).unwrap();
    assert_eq!(poem, "Stars fall.");
    let counts = stop(server);
    let fetches = counts.fetches;
    assert_eq!((fetches.begun, fetches.cached, fetches.failed), (2, 1, 1));
}

#[test]
fn o5_a_second_crash_within_the_period_ends_the_tree_and_is_reported() {
    let reported = Arc::new(Reported::default());
    let service = Service::Transform(TransformService::default());
    let server = serve_with(service, reported.clone());
    crash(&*server, "acceptor", "acceptor (1 restart, mailbox");
    let tree = crash(&*server, "acceptor", "ended: shutdown");
    assert_eq!(tree, "listener (ended: shutdown)\n");
    assert_eq!(server.parts(), [""; 0]);
    assert!(!server.crash("acceptor"));
    let words = "listener: too many restarts, nothing is served any more";
    let begun = Instant::now();
    while *reported.0.lock().unwrap() != [words] {
        assert!(begun.elapsed() < DEADLINE, "{:?}", reported.0);
        thread::yield_now();
    }
    stop(server);
}

#[test]
fn only_a_part_can_be_crashed() {
    let poem = Poem::from("Stars fall.");
    let server = serve(Service::Poem(PoemService {
        poem,
        pace: Pace::SLOW,
    }));
    let _client = connect(server.address());
    for name in ["", "listener", "connection-0", "acceptor ", "nothing"] {
        assert!(!server.crash(name), "{name}");
    }
    assert!(!server.details().unwrap().contains('↻'));
}

#[test]
fn s21_a_shutdown_is_not_reported_as_the_end_of_the_tree() {
    let reported = Arc::new(Reported::default());
    let service = Service::Transform(TransformService::default());
    let server = serve_with(service, reported.clone());
    let client = connect(server.address());
    drop(client);
    stop(server);
    assert_eq!(*reported.0.lock().unwrap(), [""; 0]);
}
