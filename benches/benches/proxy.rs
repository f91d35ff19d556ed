//! A caching proxy, by model. `hit` is one client that connects and reads the cached poem to its end. `miss_N` is the time from the
//! upstream server's poem to the last of N clients that wait for it; how they come to wait is not timed.
//!
//! Clients, proxy and upstream server are in one process and share its cores: this compares models but does not measure servers
//! (MEASURING 4, 10). Every poem is compared.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use measure::exchange::{POEM_BYTES, poem};
use poetry::{Model, ProxyService, Server, Service};

/// Clients that wait for one fetch.
const WAITING: [usize; 2] = [1, 64];

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proxy");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Bytes(POEM_BYTES as u64));
    let poem = poem(POEM_BYTES);
    for model in models::ALL {
        let upstream = Upstream::start(poem.clone());
        let server = proxy(*model, upstream.address, None);
        upstream.send_poem();
        expect_poem(connect(server.as_ref()), &poem);
        group.bench_function(BenchmarkId::new(model.name(), "hit"), |bencher| {
            bencher.iter(|| expect_poem(connect(server.as_ref()), &poem));
        });
        server.shutdown(Duration::from_secs(1));
    }
    group.finish();
}

fn miss(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proxy");
    // Only a small part of an iteration is timed, so the whole takes several times as long.
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(100));
    let poem = poem(POEM_BYTES);
    for waiting in WAITING {
        group.throughput(Throughput::Elements(waiting as u64));
        for model in models::ALL {
            let upstream = Upstream::start(poem.clone());
            // Every client that comes after the poem's arrival starts a new fetch.
            let server = proxy(*model, upstream.address, Some(Duration::ZERO));
            let id = BenchmarkId::new(model.name(), format!("miss_{waiting}"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| {
                    let one = || fetch_once(server.as_ref(), &upstream, waiting, &poem);
                    (0..times).map(|_| one()).sum()
                });
            });
            server.shutdown(Duration::from_secs(1));
        }
    }
    group.finish();
}

/// Lets `waiting` clients wait for one fetch, and returns how long they all take to get the poem once the upstream server sends it.
fn fetch_once(server: &dyn Server, upstream: &Upstream, waiting: usize, poem: &str) -> Duration {
    let clients: Vec<TcpStream> = (0..waiting).map(|_| connect(server)).collect();
    wait_until(|| server.counters().in_flight == waiting as u64);
    upstream.wait_for_fetch();
    let begun = Instant::now();
    upstream.send_poem();
    for client in clients {
        expect_poem(client, poem);
    }
    let elapsed = begun.elapsed();
    wait_until(|| server.counters().open == 0);
    elapsed
}

/// Waits for what the proxy does without a message; this is not timed.
fn wait_until(happened: impl Fn() -> bool) {
    while !happened() {
        thread::sleep(Duration::from_micros(50));
    }
}

fn proxy(model: &dyn Model, upstream: SocketAddr, ttl: Option<Duration>) -> Box<dyn Server> {
    let upstream = upstream.into();
    common::serve(model, Service::Proxy(ProxyService { upstream, ttl }))
}

fn connect(server: &dyn Server) -> TcpStream {
    TcpStream::connect(server.address()).expect("a connection")
}

/// Reads to the end.
fn expect_poem(mut client: TcpStream, poem: &str) {
    let mut received = Vec::with_capacity(poem.len() + 1);
    client.read_to_end(&mut received).expect("a poem");
    assert!(received == poem.as_bytes(), "a wrong poem");
}

/// A poem server that says when a fetch has come, and sends the poem when it is told to.
struct Upstream {
    address: SocketAddr,
    fetches: Receiver<()>,
    sends: Sender<()>,
}

impl Upstream {
    fn start(poem: String) -> Self {
        let listener = common::listen();
        let address = listener.local_addr().expect("a bound listener");
        let (come, fetches) = mpsc::channel();
        let (sends, told) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // The channels close when the benchmark ends.
                if come.send(()).is_err() || told.recv().is_err() {
                    return;
                }
                let sent = stream.write_all(poem.as_bytes());
                sent.and_then(|()| stream.shutdown(Shutdown::Write))
                    .expect("a proxy that reads");
            }
        });
        Self {
            address,
            fetches,
            sends,
        }
    }

    fn wait_for_fetch(&self) {
        self.fetches.recv().expect("the upstream server runs");
    }

    fn send_poem(&self) {
        self.sends.send(()).expect("the upstream server runs");
    }
}

criterion_group! {
    name = benches;
    config = common::profile();
    targets = hit, miss
}
criterion_main!(benches);
