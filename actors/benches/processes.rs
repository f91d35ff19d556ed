//! What processes cost, one operation at a time: a message, a call and its reply, a process from spawn to `Down`, a
//! restart by a supervisor. Each is repeated inside one arbiter, and only the whole is timed from outside, so that
//! no other thread's waking is in it.

use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use actors::monitor::Reason;
use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Pid, Process, Received, Reply};
use actors::supervisor::{Intensity, Restart, Shutdown, Spec, Strategy, Supervisor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// One measurement is over long before that.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the driver is told.
enum Order {
    /// Send so many messages.
    Send(u64, Reply<()>),
    /// Make so many calls, one after another.
    Call(u64, Reply<()>),
    /// Start and monitor so many processes, one after another, that exit at once.
    Spawn(u64, Reply<()>),
    /// Have the supervised process crash so often.
    Restart(u64, Reply<()>),
    /// It runs, again.
    Running(Pid<Task>),
}

/// What the other processes understand.
enum Task {
    Note(u64),
    Echo(Reply<u64>),
    Finish(Reply<()>),
    Crash,
}

/// Does what is ordered, and answers when it is done.
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

    /// Whether there is one more to do; answers if not.
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
            me.call(&self.echo, PATIENCE, Task::Echo, |driver, answer, me| {
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

/// Takes notes, echoes, crashes.
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

/// Exits as soon as it runs.
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

/// A node with a driver, and what it drives.
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
    let told = driver.clone();
    arbiter.spawn(Name::new("supervisor"), move || {
        let child = Spec {
            name: Name::new("supervised"),
            restart: Restart::Permanent,
            shutdown: Shutdown::Kill,
            start: Box::new(move |me| {
                let child = Echo(Some(told.clone()));
                Ok(me
                    .spawn_link(Name::new("supervised"), child, NoPort)
                    .process()
                    .into())
            }),
        };
        // As many restarts as are asked for: what one costs is the question.
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
                let done = node.call(&driver, PATIENCE, move |reply| order(times, reply));
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
