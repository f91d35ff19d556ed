//! What threads cost before they do anything: to be made, to be woken, to be many.
//!
//! Figures of one process on whatever cores it gets; they are for comparing with each other (MEASURING 10).

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use blocking::workers;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Threads in a fan-out.
const FAN_OUT: u64 = 100;

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
                let thread = workers::spawn_scoped(scope, work).expect("a thread");
                thread.join().expect("no panic");
            });
        });
    });
    group.finish();
}

/// A value to a thread that waits for it, and back: two wake-ups and, on one core, two context switches. It is what a
/// request pays for a thread of its own.
fn hand_off(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hand_off");
    group.throughput(Throughput::Elements(1));
    for (name, bound) in [("rendezvous", None), ("channel", NonZeroUsize::new(64))] {
        let bound = bound.map_or(0, NonZeroUsize::get);
        let (there, waits) = mpsc::sync_channel::<u64>(bound);
        let (answers, back) = mpsc::sync_channel(bound);
        let worker = thread::spawn(move || {
            while let Ok(value) = waits.recv()
                && answers.send(value + 1).is_ok()
            {}
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                there.send(black_box(1)).expect("it waits");
                back.recv().expect("it answers")
            });
        });
        drop(there);
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
                    workers::spawn_scoped(scope, work).expect("a thread");
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
