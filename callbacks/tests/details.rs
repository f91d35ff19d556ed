//! What a running server says of its delayed calls, timeouts and Deferreds.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callbacks::Callbacks;
use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Pace, PoemService, ProxyService, Server, Service};
use poetry::{Poem, TransformService};

const DEADLINE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);

fn serve(service: Service, threads: usize) -> Box<dyn Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(threads).unwrap();
    let observer = Arc::new(Unobserved);
    Callbacks
        .serve(listener, service, &options, observer)
        .unwrap()
}

/// Lets `burn` end, at the latest when it is dropped: a server waits for what computes.
struct Done(Arc<AtomicBool>);

impl Done {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.set();
    }
}

/// A transform server whose `burn` computes until the returned value is set.
fn burning(offload: bool) -> (Box<dyn Server>, Done) {
    let done = Done(Arc::default());
    let flag = Arc::clone(&done.0);
    let begun = Instant::now();
    let clock = Clock::new(move || match flag.load(Ordering::Relaxed) {
        true => HOUR + begun.elapsed(),
        false => {
            thread::yield_now();
            Duration::ZERO
        }
    });
    let service = TransformService {
        keep_alive: false,
        lab: Some(clock),
        offload,
    };
    (serve(Service::Transform(service), 1), done)
}

fn ask(server: &dyn Server, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Returns the description once it has all `words`.
fn until(describe: impl Fn() -> Option<String>, words: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let details = describe().unwrap();
        if words.iter().all(|words| details.contains(words)) {
            return details;
        }
        assert!(begun.elapsed() < DEADLINE, "no {words:?} in {details}");
        thread::yield_now();
    }
}

#[test]
fn a_slow_poem_is_a_timeout_that_sends_its_next_piece() {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::MIN,
        delay: HOUR,
    };
    let poem = Poem::from("Stars fall.");
    let server = serve(Service::Poem(PoemService { poem, pace }), 2);
    let client = ask(&*server, b"");
    let peer = client.local_addr().unwrap();
    let first = "reactor-0: 1 connection, 0 delayed calls, 1 timeout, 0 waiting Deferreds\n";
    let words = format!(" s: sends {peer} the next piece\n");
    let details = until(|| server.live_details(), &[first, &words, "  timeout in 3"]);
    // The second reactor has no connection yet.
    let second = "reactor-1: 0 connections, 0 delayed calls, 0 timeouts, 0 waiting Deferreds\n";
    assert!(details.ends_with(second), "{details}");
    // Without times nothing changes from piece to piece.
    assert_eq!(server.details().unwrap(), format!("{first}{second}"));
}

#[test]
fn the_clients_of_a_proxy_have_deferreds_that_wait_for_its_fetch() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let upstream = silent.local_addr().unwrap();
    let service = ProxyService {
        upstream: upstream.into(),
        ttl: None,
    };
    let server = serve(Service::Proxy(service), 1);
    let mut clients = vec![ask(&*server, b"")];
    let peer = clients[0].local_addr().unwrap();
    let fetch = format!("  Deferred of the fetch: fires when the poem of {upstream} has arrived\n");
    let client = format!("  Deferred of {peer}: fires when the fetch ends\n");
    until(
        || server.details(),
        &["2 waiting Deferreds\n", &fetch, &client],
    );
    clients.extend((0..11).map(|_| ask(&*server, b"")));
    let many = [
        "13 connections,",
        "13 waiting Deferreds\n",
        "\n  and 8 more\n",
    ];
    let details = until(|| server.details(), &many);
    assert_eq!(details.matches("Deferred of ").count(), 5, "{details}");
    drop(clients);
    until(|| server.details(), &["0 waiting Deferreds\n"]);
}

#[test]
fn s25_an_offloaded_request_is_a_deferred_that_waits_for_the_pool() {
    let (server, done) = burning(true);
    let clients: Vec<_> = (0..6).map(|_| ask(&*server, b"6:burn.a,")).collect();
    let pool = "  pool of at most 4 threads: 4 compute, 2 requests wait\n";
    let details = until(|| server.details(), &["6 waiting Deferreds\n", pool]);
    let words = ": fires when a thread of the pool has computed the reply\n";
    assert_eq!(details.matches(words).count(), 5, "{details}");
    done.set();
    for client in clients {
        assert_eq!(read(client), "1:a,");
    }
    until(
        || server.details(),
        &["threads: 0 compute, 0 requests wait\n"],
    );
}

#[test]
fn a_reactor_in_a_long_call_is_said_to_be_in_it() {
    let (server, done) = burning(false);
    let client = ask(&*server, b"6:burn.a,");
    let expected = "reactor-0: in one call for more than 0.5 s\n";
    until(|| server.details(), &[expected]);
    done.set();
    assert_eq!(read(client), "1:a,");
    until(|| server.details(), &["reactor-0: 0 connections, "]);
}
