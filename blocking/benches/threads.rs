//! What threads cost before they do any work: to spawn and join one, to wake one, to spawn many.
//!
//! All runs in one process on the cores it gets, so the figures compare only with each other (MEASURING 10).

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Threads in a fan-out.
const FAN_OUT: u64 = 100;
/// The stack of the model's threads.
const STACK_BYTES: usize = 128 << 10;

fn spawn_and_join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn_and_join");
    group.throughput(Throughput::Elements(1));
    group.bench_function("std", |bencher| {
        bencher.iter(|| thread::spawn(|| black_box(1)).join().expect("no panic"));
    });
    group.bench_function("small_stack", |bencher| {
        bencher.iter(|| {
            thread::scope(|scope| {
                let work = || _ = black_box(1);
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                let thread = builder.spawn_scoped(scope, work).expect("a thread");
                thread.join().expect("no panic");
            });
        });
    });
    group.finish();
}

/// Sends a value to a thread that waits for it, and back: two wake-ups and, on one core, two context switches. A request
/// pays this for a thread of its own.
fn hand_off(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hand_off");
    group.throughput(Throughput::Elements(1));
    for (name, bound) in [("rendezvous", None), ("channel", NonZeroUsize::new(64))] {
        let bound = bound.map_or(0, NonZeroUsize::get);
        let (to_worker, requests) = mpsc::sync_channel::<u64>(bound);
        let (replies, from_worker) = mpsc::sync_channel(bound);
        let worker = thread::spawn(move || {
            while let Ok(value) = requests.recv()
                && replies.send(value + 1).is_ok()
            {}
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                to_worker.send(black_box(1)).expect("the worker receives");
                from_worker.recv().expect("the worker replies")
            });
        });
        drop(to_worker);
        worker.join().expect("no panic");
    }
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    group.throughput(Throughput::Elements(FAN_OUT));
    group.bench_function("scoped_100", |bencher| {
        bencher.iter(|| {
            thread::scope(|scope| {
                for index in 0..FAN_OUT {
                    let work = move || _ = black_box(index);
                    let builder = thread::Builder::new().stack_size(STACK_BYTES);
                    builder.spawn_scoped(scope, work).expect("a thread");
                }
            });
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
}

criterion_group! {
    name = threads;
    config = short();
    targets = spawn_and_join, hand_off, fan_out
}
criterion_main!(threads);
