//! The cost of single operations: Deferreds, timers with few and with many others pending, a call from another thread, and a
//! request decoded and answered on a reactor in memory.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use callbacks::{
    Clock, Deferred, MemoryReactor, Reactor, ServerState, coroutine, transform_factory,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use poetry::event::Unobserved;
use poetry::{Limits, Reporter, Role, TransformService};

fn deferreds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deferred");
    group.bench_function("create, add a callback, fire", |bench| {
        bench.iter(|| {
            let (trigger, deferred) = Deferred::new();
            let deferred = deferred.add_callback(|n: u64| Ok(n + 1));
            trigger.callback(black_box(1));
            deferred.take_result()
        });
    });
    const LENGTH: u64 = 1_000;
    group.throughput(Throughput::Elements(LENGTH));
    group.bench_function("fire a thousand callbacks", |bench| {
        let build = || {
            let (trigger, mut deferred) = Deferred::new();
            for _ in 0..LENGTH {
                deferred = deferred.add_callback(|n: u64| Ok(n + 1));
            }
            (trigger, deferred)
        };
        let fire = |(trigger, deferred): (callbacks::Trigger<u64>, Deferred<u64>)| {
            trigger.callback(black_box(1));
            deferred.take_result()
        };
        bench.iter_batched(build, fire, BatchSize::SmallInput);
    });
    group.bench_function("fire a chain of a thousand Deferreds", |bench| {
        let build = || {
            let (trigger, mut deferred) = Deferred::new();
            for _ in 0..LENGTH {
                let inner = deferred;
                deferred = Deferred::succeed(())
                    .add_callback(move |()| inner)
                    .add_callback(|n: u64| Ok(n + 1));
            }
            (trigger, deferred)
        };
        let fire = |(trigger, deferred): (callbacks::Trigger<u64>, Deferred<u64>)| {
            trigger.callback(black_box(1));
            deferred.take_result()
        };
        bench.iter_batched(build, fire, BatchSize::SmallInput);
    });
    group.bench_function("await a thousand ready values", |bench| {
        bench.iter(|| {
            coroutine(async {
                let mut sum = 0;
                for n in 0..LENGTH {
                    sum += Deferred::succeed(black_box(n)).await?;
                }
                Ok(sum)
            })
            .take_result()
        });
    });
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for pending in [10_u64, 100_000] {
        let clock = Clock::new();
        for n in 0..pending {
            clock.call_later(Duration::from_secs(3_600 + n % 1_000), || ());
        }
        group.bench_function(BenchmarkId::new("add and cancel", pending), |bench| {
            bench.iter(|| clock.call_later(Duration::from_secs(60), || ()).cancel());
        });
        group.bench_function(BenchmarkId::new("add and fire", pending), |bench| {
            bench.iter(|| {
                clock.call_later(Duration::ZERO, || ());
                clock.advance(Duration::ZERO);
            });
        });
    }
    group.finish();
}

fn threads(criterion: &mut Criterion) {
    let (sender, started) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let reactor = Reactor::open().expect("a reactor");
        sender.send(reactor.remote()).expect("the bench waits");
        reactor.run().expect("it does not run yet");
    });
    let remote = started.recv().expect("the reactor starts");
    criterion.bench_function("call_from_thread/round trip", |bench| {
        let (sender, came) = mpsc::channel();
        bench.iter(|| {
            let sender = sender.clone();
            let called =
                remote.call_from_thread(move |_| sender.send(()).expect("the bench waits"));
            called.and_then(|()| came.recv().map_err(std::io::Error::other))
        });
    });
    let stop = |reactor: &Reactor| reactor.stop().expect("it runs");
    remote.call_from_thread(stop).expect("it runs");
    thread.join().expect("no panic");
}

fn requests(criterion: &mut Criterion) {
    let mut request = Vec::new();
    poetry::request::encode("cummingsify", &"A Poem".repeat(100), &mut request);
    let clock = poetry::Clock::stopped();
    let reporter = Reporter::new(
        "callbacks",
        Role::TransformServer,
        clock,
        Arc::new(Unobserved),
    );
    let state = ServerState::new(Limits::default(), reporter);
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    let reactor = MemoryReactor::new();
    let peer = reactor.accept(&transform_factory(service, &state));
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("decode and answer, in memory", |bench| {
        bench.iter(|| {
            peer.send(&request);
            reactor.settle();
            peer.received()
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = short();
    targets = deferreds, timers, threads, requests
}
criterion_main!(benches);
