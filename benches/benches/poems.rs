//! Fetching many fast poems at once through each model's client, from one and the same server.
//!
//! The server is a thread that accepts, writes the poem and closes, and nothing else. It and the client are in one
//! process, and share its cores: this compares clients but does not measure them (MEASURING 4, 10). Every poem is
//! compared.

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use measure::exchange::{POEM_BYTES, poem};
use poetry::event::Unobserved;
use poetry::{Cancel, Client, FetchRequest, Options};

/// Poems fetched at once.
const POEMS: [usize; 3] = [1, 16, 256];

fn fetch(criterion: &mut Criterion) {
    let poem = poem(POEM_BYTES);
    let address = serve(poem.clone());
    let mut group = criterion.benchmark_group("poems");
    group.sampling_mode(SamplingMode::Flat);
    for poems in POEMS {
        let requests = requests(address, poems);
        group.throughput(Throughput::Elements(poems as u64));
        for model in models::ALL {
            let client = model
                .client(&Options::new(models::clock()))
                .expect("a client");
            group.bench_function(BenchmarkId::new(model.name(), poems), |bencher| {
                bencher.iter(|| fetch_all(client.as_ref(), &requests, &poem));
            });
        }
    }
    group.finish();
}

/// Serves `poem` to all clients, one after another, until the process ends.
fn serve(poem: String) -> SocketAddr {
    let listener = common::listen();
    let address = listener.local_addr().expect("a bound listener");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // If the client has gone, its own benchmark fails.
            let _gone = stream.write_all(poem.as_bytes());
        }
    });
    address
}

fn requests(address: SocketAddr, poems: usize) -> Vec<FetchRequest> {
    vec![FetchRequest::new(address); poems]
}

fn fetch_all(client: &dyn Client, requests: &[FetchRequest], poem: &str) {
    let outcomes = client.fetch(requests, Arc::new(Unobserved), &Cancel::new());
    assert_eq!(outcomes.len(), requests.len());
    for outcome in outcomes {
        assert_eq!(outcome.poem.as_deref(), Ok(poem));
    }
}

criterion_group! {
    name = benches;
    config = common::profile();
    targets = fetch
}
criterion_main!(benches);
