//! What a running server says of its tasks, its permits and its cache.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, ProxyService, Server, Service, TransformService};
use streams::Streams;

const DEADLINE: Duration = Duration::from_secs(10);

fn serve(service: Service, threads: usize) -> Box<dyn Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(threads).unwrap();
    options.limits.connections_max = 10;
    let observer = Arc::new(Unobserved);
    Streams
        .serve(listener, service, &options, observer)
        .unwrap()
}

fn connect(server: &dyn Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Waits until the server describes itself so.
fn until(server: &dyn Server, wanted: &str) {
    let begun = Instant::now();
    loop {
        let details = server.details().unwrap();
        if details == wanted {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "not {wanted:?} but {details:?}");
        thread::yield_now();
    }
}

#[test]
fn a_connection_is_a_task_and_holds_a_permit() {
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: true,
    };
    let server = serve(Service::Transform(service), 2);
    let idle = "\
streams-0: 2 tasks, of which 2 keep its deadlines and turns
streams-1: 2 tasks, of which 2 keep its deadlines and turns
permits for connections: 9 of 10 free; accepting takes one
permits to compute: 4 of 4 free
";
    until(&*server, idle);
    let clients: Vec<TcpStream> = (0..3).map(|_| connect(&*server)).collect();
    let busy = "\
streams-0: 4 tasks, of which 2 keep its deadlines and turns
streams-1: 3 tasks, of which 2 keep its deadlines and turns
permits for connections: 6 of 10 free; accepting takes one
permits to compute: 4 of 4 free
";
    until(&*server, busy);
    drop(clients);
    until(&*server, idle);
}

#[test]
fn clients_of_a_proxy_await_one_shared_future() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = upstream.local_addr().unwrap();
    let service = ProxyService {
        upstream: address.into(),
        ttl: None,
    };
    let server = serve(Service::Proxy(service), 1);
    let words = |tasks: usize, free: usize, cache: &str| {
        format!(
            "streams-0: {tasks} tasks, of which 2 keep its deadlines and turns\n\
             permits for connections: {free} of 10 free; accepting takes one\n\
             cache: {cache}\n"
        )
    };
    until(&*server, &words(2, 9, "empty"));
    let mut first = connect(&*server);
    // The fetch is a task too.
    until(
        &*server,
        &words(4, 8, "a fetch, as a future with 1 waiting"),
    );
    let others = [connect(&*server), connect(&*server)];
    until(
        &*server,
        &words(6, 6, "a fetch, as a future with 3 waiting"),
    );
    drop(others);
    until(
        &*server,
        &words(4, 8, "a fetch, as a future with 1 waiting"),
    );
    let (mut fetch, _) = upstream.accept().unwrap();
    fetch.write_all(b"Stars fall.").unwrap();
    drop(fetch);
    let mut poem = String::new();
    first.read_to_string(&mut poem).unwrap();
    assert_eq!(poem, "Stars fall.");
    drop(first);
    until(&*server, &words(2, 9, "a poem of 11 bytes"));
}
