//! A round trip over loopback, by model and size of poem: one keep-alive connection, one request at a time.
//!
//! The client is a plain blocking socket. It and the server are in one process, and share its cores: this compares
//! models but does not measure servers (MEASURING 4, 10). Every reply is compared.

mod common;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use measure::Exchange;
use poetry::{Model, Server, Service, TransformService};

/// A couplet, a page, a chapter, and nearly the longest frame.
const POEM_BYTES: [usize; 4] = [60, 600, 6_000, 60_000];

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform");
    group.sampling_mode(SamplingMode::Flat);
    for bytes in POEM_BYTES {
        let exchange = Exchange::cummingsify(bytes).expect("a poem that fits a frame");
        group.throughput(Throughput::Bytes(bytes as u64));
        for model in models::ALL {
            let server = serve(*model);
            let mut client = Client::new(server.address(), &exchange);
            group.bench_function(BenchmarkId::new(model.name(), bytes), |bencher| {
                bencher.iter(|| client.exchange());
            });
            drop(client);
            server.shutdown(Duration::from_secs(1));
        }
    }
    group.finish();
}

fn serve(model: &dyn Model) -> Box<dyn Server> {
    let service = TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    };
    common::serve(model, Service::Transform(service))
}

/// One connection, and the exchange it repeats.
struct Client<'e> {
    stream: TcpStream,
    exchange: &'e Exchange,
    reply: Vec<u8>,
}

impl<'e> Client<'e> {
    fn new(address: SocketAddr, exchange: &'e Exchange) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        Self {
            stream,
            exchange,
            reply: vec![0; exchange.reply.len()],
        }
    }

    fn exchange(&mut self) {
        self.stream
            .write_all(black_box(&self.exchange.request))
            .expect("a server that reads");
        self.stream
            .read_exact(&mut self.reply)
            .expect("a server that replies");
        assert!(self.reply == self.exchange.reply, "a wrong reply");
    }
}

criterion_group! {
    name = benches;
    config = common::profile();
    targets = round_trip
}
criterion_main!(benches);
