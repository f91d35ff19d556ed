//! The primitives of the four models side by side, with the native API of each; no other file of this crate names them.
//!
//! `one_unit` is the smallest step of concurrency: a Deferred fired through a callback, a message to a process, an item pulled
//! through a join of streams, a value handed from one thread to another. `idle_unit` is a unit that is started, waits for something
//! that never comes, and is ended. They are different steps, so the ratios say what a model's step costs and not which is best: a
//! thread hand-off includes the kernel's switch, which the others pay once for many steps.

mod common;

use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use actors::{Me, Name, Next, NoPort, Node, Pid, Process, Received, Reply};
use callbacks::Deferred;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use futures::stream::{self, StreamExt};
use streams::joins::as_they_come;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

const ONE: &str = "one_unit";
const IDLE: &str = "idle_unit";

fn primitives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("primitives");
    group.throughput(Throughput::Elements(1));
    deferreds(&mut group);
    processes(&mut group).expect("a node");
    streams(&mut group).expect("a runtime");
    threads(&mut group);
    group.finish();
}

fn deferreds(group: &mut Group<'_>) {
    let create = || {
        let (trigger, deferred) = Deferred::new();
        let deferred = deferred.add_callback(|n: u64| Ok(black_box(n) + 1));
        (trigger, deferred)
    };
    group.bench_function(BenchmarkId::new("callbacks", ONE), |bencher| {
        bencher.iter(|| {
            let (trigger, deferred) = create();
            trigger.callback(black_box(1));
            deferred.take_result()
        });
    });
    group.bench_function(BenchmarkId::new("callbacks", IDLE), |bencher| {
        bencher.iter(|| {
            let (trigger, deferred) = create();
            deferred.cancel();
            (trigger, deferred.take_result())
        });
    });
}

/// An order to the driver. It replies when the work is done.
enum Order {
    /// Send this many messages.
    Send(u64, Reply<()>),
    /// Start and end this many processes, one after another.
    Start(u64, Reply<()>),
}

/// A message to the process that only receives.
enum Note {
    Number(u64),
    Last(Reply<()>),
}

/// Carries out the orders within one arbiter, so that no wake of another thread is included.
struct Driver {
    receiver: Pid<Note>,
    left: u64,
    done: Option<Reply<()>>,
}

impl Driver {
    fn start_one(&mut self, me: &mut Me<'_, Self>) {
        if self.left == 0 {
            self.done.take().into_iter().for_each(|done| done.send(()));
            return;
        }
        self.left -= 1;
        let idle = me.spawn(Name::new("idle"), Receiver, NoPort).process();
        me.monitor(&idle);
        idle.kill();
    }
}

impl Process for Driver {
    type Message = Order;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Order::Send(times, done)) => {
                for number in 0..times {
                    me.send(&self.receiver, Note::Number(number));
                }
                me.send(&self.receiver, Note::Last(done));
            }
            Received::Message(Order::Start(times, done)) => {
                (self.left, self.done) = (times, Some(done));
                self.start_one(me);
            }
            Received::Down(_) => self.start_one(me),
            _ => {}
        }
        Next::Receive
    }
}

struct Receiver;

impl Process for Receiver {
    type Message = Note;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Note::Number(number)) => _ = black_box(number),
            Received::Message(Note::Last(done)) => done.send(()),
            _ => {}
        }
        Next::Receive
    }
}

fn processes(group: &mut Group<'_>) -> io::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(60);
    let node = Node::start(NonZeroUsize::MIN)?;
    let arbiter = node.arbiter(0);
    let receiver = arbiter.spawn(Name::new("receiver"), || Ok((Receiver, NoPort)));
    let driver = arbiter.spawn(Name::new("driver"), move || {
        let driver = Driver {
            receiver,
            left: 0,
            done: None,
        };
        Ok((driver, NoPort))
    });
    type Of = fn(u64, Reply<()>) -> Order;
    let orders: [(&str, Of); 2] = [(ONE, Order::Send), (IDLE, Order::Start)];
    for (name, order) in orders {
        group.bench_function(BenchmarkId::new("actors", name), |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                let done = node.call(&driver, TIMEOUT, move |reply| order(times, reply));
                done.expect("the driver answers");
                begun.elapsed()
            });
        });
    }
    node.stop();
    Ok(())
}

fn streams(group: &mut Group<'_>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    group.bench_function(BenchmarkId::new("streams", ONE), |bencher| {
        bencher.iter_custom(|times| {
            let items = stream::iter(0..times).map(black_box);
            let mut joined = as_they_come([items]);
            let begun = Instant::now();
            runtime.block_on(async { while joined.next().await.is_some() {} });
            begun.elapsed()
        });
    });
    group.bench_function(BenchmarkId::new("streams", IDLE), |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let task = tokio::spawn(std::future::pending::<()>());
                // The task runs up to where it waits.
                tokio::task::yield_now().await;
                task.abort();
                task.await.is_err()
            })
        });
    });
    Ok(())
}

fn threads(group: &mut Group<'_>) {
    /// The stack of the model's threads.
    const STACK_BYTES: usize = 128 << 10;
    let (to_other, received) = mpsc::sync_channel::<u64>(1);
    let (replies, from_other) = mpsc::sync_channel(1);
    let other = thread::spawn(move || {
        while let Ok(value) = received.recv()
            && replies.send(value + 1).is_ok()
        {}
    });
    group.bench_function(BenchmarkId::new("blocking", ONE), |bencher| {
        bencher.iter_custom(|times| {
            let begun = Instant::now();
            for number in 0..times {
                to_other
                    .send(black_box(number))
                    .expect("the other thread receives");
                let _ = black_box(from_other.recv().expect("the other thread replies"));
            }
            // There and back: two hand-offs.
            begun.elapsed() / 2
        });
    });
    drop(to_other);
    other.join().expect("no panic");
    group.bench_function(BenchmarkId::new("blocking", IDLE), |bencher| {
        bencher.iter(|| {
            let (wakes, nothing) = mpsc::channel::<()>();
            let (started, start) = mpsc::channel();
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            let idle = builder.spawn(move || {
                drop(started);
                nothing.recv().is_err()
            });
            let _runs = start.recv() as Result<(), _>;
            drop(wakes);
            idle.expect("a thread").join().expect("no panic")
        });
    });
}

criterion_group! {
    name = benches;
    config = common::profile();
    targets = primitives
}
criterion_main!(benches);
