//! What laziness costs inside one process: pulling an item through adaptors, cutting lines, merging many streams.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use futures::stream::{self, LocalBoxStream};
use futures::{FutureExt, Stream, StreamExt};
use poetry::FetchFailure;
use streams::joins::as_they_come;
use streams::lines;

const ITEMS: u64 = 10_000;

/// `$source` through the given adaptors, all of types known at compile time.
macro_rules! chain {
    ($source:expr; $($adaptor:literal)*) => {
        $source$(.map(|item: u64| black_box(item ^ $adaptor)))*
    };
}

fn pull_all(stream: impl Stream<Item = u64>) -> u64 {
    block_on(stream.fold(0, |sum, item| std::future::ready(sum ^ item)))
}

/// An item through 1, 5 and 20 adaptors; and through 5 whose types are not known, as in a `Box<dyn Stream>`.
fn pull(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pull");
    group.throughput(Throughput::Elements(ITEMS));
    let source = || stream::iter(0..ITEMS);
    group.bench_function("through 1 adaptor", |bench| {
        bench.iter(|| pull_all(chain!(source(); 1)));
    });
    group.bench_function("through 5 adaptors", |bench| {
        bench.iter(|| pull_all(chain!(source(); 1 2 3 4 5)));
    });
    group.bench_function("through 20 adaptors", |bench| {
        bench.iter(|| {
            pull_all(chain!(source(); 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20))
        });
    });
    group.bench_function("through 5 boxed adaptors", |bench| {
        bench.iter(|| {
            let boxed = |stream: LocalBoxStream<'static, u64>| {
                stream.map(|item| black_box(item ^ 1)).boxed_local()
            };
            pull_all((0..5).fold(source().boxed_local(), |stream, _| boxed(stream)))
        });
    });
    group.finish();
}

type Chunk = Result<Vec<u8>, FetchFailure>;

/// A mebibyte of lines of 0 to 79 letters, cut anywhere into chunks of 1 to 4,096 bytes. The same at every run.
fn mebibyte() -> Vec<Chunk> {
    const BYTES: usize = 1 << 20;
    let mut state = 0x9e37_79b9_u32;
    let mut next = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * u64::from(below)) >> 32) as usize
    };
    let mut text = Vec::with_capacity(BYTES + 80);
    while text.len() < BYTES {
        text.extend(std::iter::repeat_n(b'x', next(80)));
        text.push(b'\n');
    }
    text.truncate(BYTES);
    let mut chunks = Vec::new();
    let mut rest = &text[..];
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at((1 + next(4_096)).min(rest.len()));
        chunks.push(Ok(chunk.to_vec()));
        rest = behind;
    }
    chunks
}

fn cut_lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lines");
    let chunks = mebibyte();
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("of a mebibyte in random cuts", |bench| {
        bench.iter_batched(
            || stream::iter(chunks.clone()),
            |chunks| block_on(lines(chunks).count()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// A thousand boxed streams, merged.
fn merge(criterion: &mut Criterion) {
    const STREAMS: u64 = 1_000;
    const EACH: u64 = 20;
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(STREAMS * EACH));
    let streams = || {
        (0..STREAMS).map(|_| {
            let items = stream::iter(0..EACH);
            Box::pin(items.then(|item| futures::future::ready(item).boxed_local()))
        })
    };
    group.bench_function("of 1,000 streams", |bench| {
        bench.iter_batched(
            || streams().collect::<Vec<_>>(),
            |streams| pull_all(as_they_come(streams)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

criterion_group! {
    name = benches;
    config = quick();
    targets = pull, cut_lines, merge
}
criterion_main!(benches);
