//! The hot path allocates nothing: a keep-alive request that arrives whole is decoded where it was read, answered into a
//! shared buffer, and sent from there. Beginning a fetch allocates little, because ten thousand may begin at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use callbacks::{
    FramedPoem, Library, LibraryService, Limits, MemoryReactor, Poem, Reactor, RemoteReactor,
    ServerState, Task, TransformService, get_poetry_with, library_factory, serve_transforms_with,
};
use poetry::event::Unobserved;
use poetry::{Clock, Reporter, Role};

fn reporter(role: Role) -> Reporter {
    Reporter::new("callbacks", role, Clock::stopped(), Arc::new(Unobserved))
}

/// Counts the allocations of a reactor's thread while a client makes `requests` requests, one after another.
fn allocations(requests: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reactor = Reactor::open().unwrap();
    let state = ServerState::new(Limits::default(), reporter(Role::TransformServer));
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    serve_transforms_with(&reactor, listener, service, &state).unwrap();
    let client = std::thread::spawn({
        let remote = reactor.remote();
        move || request(address, requests, &remote)
    });
    let counted = allocation_counter::measure(|| reactor.run().unwrap());
    client.join().unwrap();
    assert_eq!(state.counts().answered, requests as u64);
    counted.count_total
}

/// Makes the requests, then stops the reactor.
fn request(address: SocketAddr, requests: usize, remote: &RemoteReactor) {
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
    // The reactor's own queues may grow once or twice more in the longer run, depending on when the kernel wakes it.
    assert!(more < 20, "2,000 more requests made {more} allocations");
}

#[test]
fn s8_a_stalled_reader_of_a_long_poem_costs_little() {
    const STALLED: usize = 50;
    let poem = Poem::from("a".repeat(40_000_000));
    let poems = [("long".parse().unwrap(), FramedPoem::from(&poem))];
    let limits = Limits {
        frame_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let state = ServerState::new(limits, reporter(Role::LibraryServer));
    let service = LibraryService {
        library: Library::new(poems.into()),
        keep_alive: true,
    };
    let factory = library_factory(service, &state);
    let reactor = MemoryReactor::new();
    let stalls = || {
        for _ in 0..STALLED {
            let peer = reactor.accept(&factory);
            peer.limit_room(1_000);
            peer.send(b"4:long,4:long,");
            reactor.settle();
        }
    };
    let counted = allocation_counter::measure(stalls);
    assert_eq!(state.counts().in_flight, 2 * STALLED as u64);
    let each = counted.bytes_max / STALLED as u64;
    assert!(each < 8 << 10, "a stalled reader costs {each} bytes");
}

/// Counts the allocations of this thread while it begins `fetches` fetches.
fn allocations_of_beginning(fetches: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer: callbacks::Peer = listener.local_addr().unwrap().into();
    let reactor = Reactor::open().unwrap();
    callbacks::log::set_hook(|_| ()); // The fetches are dropped before they end.
    let reporter = reporter(Role::PoemClient);
    let tasks: Vec<_> = (0..fetches)
        .map(|_| Task::new(&reactor, Limits::default(), &reporter))
        .collect();
    let mut poems = Vec::with_capacity(fetches);
    let begin = || {
        poems.extend(
            tasks
                .iter()
                .map(|task| get_poetry_with(&reactor, peer.clone(), task)),
        )
    };
    let counted = allocation_counter::measure(begin);
    assert_eq!(reactor.connections(), fetches);
    counted.count_total
}

#[test]
fn beginning_a_fetch_takes_seven_allocations() {
    // A factory; a transport, and its state while it connects; a Deferred, its canceller, its list of steps, and its one
    // step. The reactor's queues may grow a few times more in the longer run.
    let more = allocations_of_beginning(120) - allocations_of_beginning(20);
    assert!(
        (700..710).contains(&more),
        "100 more fetches made {more} allocations"
    );
}
