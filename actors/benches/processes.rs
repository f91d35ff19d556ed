//! The cost of one message, of a call and its reply, of a process from spawn to `Down`, and of a restart by a supervisor.
//! Each is repeated inside one arbiter and timed from outside as a whole, so that no wake of another thread is included.

use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use actors::{
    Intensity, Me, Name, Next, NoPort, Node, Pid, Process, Reason, Received, Reply, Shutdown, Spec,
    Strategy, Supervisor,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// The timeout of one measurement.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An order to the driver. It replies when the work is done.
enum Order {
    /// Send this many messages.
    Send(u64, Reply<()>),
    /// Make this many calls, one after another.
    Call(u64, Reply<()>),
    /// Start and monitor this many processes, one after another, which exit at once.
    Spawn(u64, Reply<()>),
    /// Crash the supervised process this many times.
    Restart(u64, Reply<()>),
    /// The supervised process runs.
    Running(Pid<Task>),
}

/// A message to the other processes.
enum Task {
    Note(u64),
    Echo(Reply<u64>),
    Finish(Reply<()>),
    Crash,
}

/// Carries out the orders.
struct Driver {
    echo: Pid<Task>,
    left: u64,
    done: Option<Reply<()>>,
    supervised: Option<Pid<Task>>,
}

impl Driver {
    fn begin(&mut self, times: u64, done: Reply<()>) {
        self.left = times;
        self.done = Some(done);
    }

    /// Returns whether one more is to be done; replies if not.
    fn one_more(&mut self) -> bool {
        if self.left == 0 {
            self.done.take().into_iter().for_each(|done| done.send(()));
            return false;
        }
        self.left -= 1;
        true
    }

    fn call(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.one_more() {
            me.call(&self.echo, TIMEOUT, Task::Echo, |driver, answer, me| {
                let _ = black_box(answer);
                driver.call(me)
            });
        }
        Next::Receive
    }

    fn spawn(&mut self, me: &mut Me<'_, Self>) {
        if self.one_more() {
            let brief = me.spawn(Name::new("brief"), Brief, NoPort);
            me.monitor(&brief.process());
        }
    }

    fn restart(&mut self, me: &mut Me<'_, Self>) {
        if self.done.is_some()
            && let Some(supervised) = self.supervised.clone()
            && self.one_more()
        {
            me.send(&supervised, Task::Crash);
        }
    }
}

impl Process for Driver {
    type Message = Order;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Order::Send(times, done)) => {
                for number in 0..times {
                    me.send(&self.echo, Task::Note(number));
                }
                me.send(&self.echo, Task::Finish(done));
            }
            Received::Message(Order::Call(times, done)) => {
                self.begin(times, done);
                return self.call(me);
            }
            Received::Message(Order::Spawn(times, done)) => {
                self.begin(times, done);
                self.spawn(me);
            }
            Received::Message(Order::Restart(times, done)) => {
                self.begin(times, done);
                self.restart(me);
            }
            Received::Message(Order::Running(supervised)) => {
                self.supervised = Some(supervised);
                self.restart(me);
            }
            Received::Down(_) => self.spawn(me),
            _ => {}
        }
        Next::Receive
    }
}

/// Receives the driver's messages.
struct Echo(Option<Pid<Order>>);

impl Process for Echo {
    type Message = Task;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if let Some(driver) = &self.0 {
            me.send(driver, Order::Running(me.pid()));
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Task::Note(number)) => {
                black_box(number);
            }
            Received::Message(Task::Echo(reply)) => reply.send(1),
            Received::Message(Task::Finish(done)) => done.send(()),
            Received::Message(Task::Crash) => return Next::Exit(Reason::crash("as ordered")),
            _ => {}
        }
        Next::Receive
    }
}

/// Exits at once.
struct Brief;

impl Process for Brief {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, _: &mut Me<'_, Self>) -> Next {
        Next::Exit(Reason::Normal)
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

/// Starts a node with a driver and the processes it drives.
fn stage() -> io::Result<(Node, Pid<Order>)> {
    let node = Node::start(NonZeroUsize::MIN)?;
    let arbiter = node.arbiter(0);
    let echo = arbiter.spawn(Name::new("echo"), || Ok((Echo(None), NoPort)));
    let driver = arbiter.spawn(Name::new("driver"), move || {
        let driver = Driver {
            echo,
            left: 0,
            done: None,
            supervised: None,
        };
        Ok((driver, NoPort))
    });
    let for_child = driver.clone();
    arbiter.spawn(Name::new("supervisor"), move || {
        let child = Spec::worker("supervised", move || Echo(Some(for_child.clone())))
            .shutdown(Shutdown::Kill);
        // Any number of restarts.
        let intensity = Intensity {
            restarts: 1_000,
            period: Duration::ZERO,
        };
        Ok((
            Supervisor::new(Strategy::OneForOne, intensity, vec![child]),
            NoPort,
        ))
    });
    Ok((node, driver))
}

fn processes(criterion: &mut Criterion) {
    let (node, driver) = stage().expect("a node");
    let mut group = criterion.benchmark_group("actors");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .throughput(Throughput::Elements(1));
    type Of = fn(u64, Reply<()>) -> Order;
    let orders: [(&str, Of); 4] = [
        ("send", Order::Send),
        ("call", Order::Call),
        ("spawn_monitor_exit", Order::Spawn),
        ("supervisor_restart", Order::Restart),
    ];
    for (name, order) in orders {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                let done = node.call(&driver, TIMEOUT, move |reply| order(times, reply));
                done.expect("the driver answers");
                begun.elapsed()
            });
        });
    }
    group.finish();
    node.stop();
}

criterion_group!(benches, processes);
criterion_main!(benches);
