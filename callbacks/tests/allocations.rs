//! The hot path allocates nothing: a keep-alive request that arrives whole is decoded where it was read, answered into
//! the reactor's scratch, and sent from there. And a fetch is begun with little, for ten thousand may be begun at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use callbacks::{Admission, Reactor, RemoteReactor, Station, Task, get_poetry, serve_transforms};
use poetry::event::Unobserved;
use poetry::{Clock, Counters, Counts, Limits, Reporter, Role, TransformService};

/// What a reactor's thread allocates while a client makes `requests` requests in turn.
fn allocations(requests: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reactor = Reactor::open().unwrap();
    let counters = Arc::new(Counters::default());
    let reporter = Reporter::new(
        "callbacks",
        Role::TransformServer,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let admission = Admission::new(10);
    let station = Station::new(
        Limits::default(),
        Arc::clone(&counters),
        reporter,
        admission,
        0,
        address,
    );
    let service = TransformService {
        keep_alive: true,
        lab: None,
    };
    serve_transforms(&reactor, listener, service, &station).unwrap();
    let client = std::thread::spawn({
        let remote = reactor.remote();
        move || ask(address, requests, &remote)
    });
    let counted = allocation_counter::measure(|| reactor.run().unwrap());
    client.join().unwrap();
    assert_eq!(
        Counts::of(std::iter::once(&*counters)).answered,
        requests as u64
    );
    counted.count_total
}

fn ask(address: SocketAddr, requests: usize, remote: &RemoteReactor) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (mut request, mut reply) = (Vec::new(), [0; 605]);
    poetry::request::encode("cummingsify", &"A Poem".repeat(100), &mut request);
    for _ in 0..requests {
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply[..10], b"600:a poem");
    }
    remote
        .call_from_thread(|reactor| reactor.stop().unwrap())
        .unwrap();
}

#[test]
fn a_request_that_arrives_whole_allocates_nothing() {
    let more = allocations(2_100).abs_diff(allocations(100));
    // The reactor's own queues may grow once or twice more in the longer run, as the kernel happens to wake it.
    assert!(more < 20, "2,000 requests more allocated {more} times");
}

/// What beginning so many fetches allocates, in this thread.
fn begun(fetches: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().into();
    let reactor = Reactor::open().unwrap();
    let tasks: Vec<_> = (0..fetches).map(|_| Task::quiet(&reactor)).collect();
    let mut poems = Vec::with_capacity(fetches);
    let begin = || poems.extend(tasks.iter().map(|task| get_poetry(&reactor, &peer, task)));
    let counted = allocation_counter::measure(begin);
    assert_eq!(reactor.connections(), fetches);
    counted.count_total
}

#[test]
fn a_fetch_is_begun_with_seven_allocations() {
    // A factory; a transport, and what that has while it connects; a Deferred, its canceller, its list of steps, and the
    // one step there is. The reactor's queues may grow a few times more for the longer run.
    let more = begun(120) - begun(20);
    assert!(
        (700..710).contains(&more),
        "100 fetches more allocated {more} times"
    );
}
