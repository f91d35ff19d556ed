//! The servers against a seeded adversary, on virtual time: `simulation` makes the plan and judges the run, this carries it out.
//! Tasks run in the order of one thread's runtime, so a seed gives the same run again.
//!
//! ```sh
//! QUATRAIN_SIM_SEED=7 cargo test -p quatrain-streams --lib simulation -- --nocapture     # replays a run
//! ```

mod fetch;
mod socket;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::simulation::log::{Observed, Step};
use ::simulation::plan::{Act, Plan};
use ::simulation::runs::{self, Recorder};
use fastrand::Rng;
use futures::channel::{mpsc, oneshot};
use futures::{Stream, StreamExt};
use poetry::limits::OFFLOADED_MAX;
use poetry::{Clock, Counters, Counts, Reporter, Service};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, sleep_until};

use crate::connection::{Arrival, Connection};
use crate::net::Accepted;
use crate::poem_server::write_poems;
use crate::shared::{Shared, Stop};
use crate::testing::on_virtual_time;
use crate::transform_server::answer_connections;
use socket::Socket;

const COMMAND: &str = "cargo test -p quatrain-streams --lib simulation -- --nocapture";

/// Timers of tokio count in milliseconds.
const LATE_MAX: Duration = Duration::from_millis(2);

#[test]
fn s1_s5_s7_s18_s19_s21_s23_servers_keep_the_rules_whatever_the_network_does() {
    poetry::panics::silence_contained();
    runs::check(COMMAND, LATE_MAX, simulate);
}

/// Carries out `plan`.
fn simulate(plan: &Plan) -> Observed {
    let mut rng = Rng::with_seed(plan.disturbance);
    let time = Time::default();
    let peers = plan.peers.iter();
    let sockets: Vec<Socket> = peers
        .map(|peer| Socket::new(peer.room, time.clone(), rng.fork()))
        .collect();
    let (recorder, counters) = (Recorder::new(), Arc::<Counters>::default());
    let stop = Arc::<Stop>::default();
    on_virtual_time(async {
        time.start();
        let role = plan.service.role();
        let reporter = Reporter::new(crate::NAME, role, time.clock(), recorder.clone());
        let shared = Shared::new(
            0,
            plan.limits.clone(),
            Arc::clone(&counters),
            reporter,
            Arc::clone(&stop),
            Arc::new(Semaphore::new(OFFLOADED_MAX)),
        );
        shared.start_keepers();
        let (arrivals, arrived) = mpsc::unbounded();
        let (stops, stopped) = oneshot::channel();
        spawn_local(serve(
            plan.service.clone(),
            Rc::new(shared),
            arrived,
            stopped,
        ));
        let mut begin_stop = Some(|| {
            stop.begin();
            let _ = stops.send(());
        });
        for (at, deed) in deeds(plan) {
            sleep_until(time.instant(at)).await;
            match deed {
                Deed::Connect(index) => {
                    let _ = arrivals.unbounded_send(sockets[index].clone());
                }
                Deed::Act(index, act) => sockets[index].act(act),
                Deed::Stop => {
                    for socket in &sockets {
                        socket.note_if_open(Step::StopBegan);
                    }
                    begin_stop.take().into_iter().for_each(|begin| begin());
                }
            }
            // Otherwise the server sees this and the next deed of the same time at once.
            if rng.bool() {
                yield_now().await;
            }
        }
        sleep_until(time.instant(plan.end())).await;
        time.now();
        // As when a worker's thread ends: dropping the runtime cuts what is left.
    });
    let mut events = recorder.take();
    // A runtime drops its last tasks in an order that depends on how many tasks the process has had.
    events.sort_by_key(|event| (event.at, event.scene.task));
    Observed {
        logs: sockets.iter().map(Socket::take_log).collect(),
        events,
        counts: Counts::from(&*counters),
        finished_and_cut: (
            stop.finished.load(Ordering::Relaxed),
            stop.cut.load(Ordering::Relaxed),
        ),
    }
}

/// Serves as a worker does, until the server stops.
async fn serve(
    service: Service,
    shared: Rc<Shared>,
    arrived: impl Stream<Item = Socket>,
    stopped: oneshot::Receiver<()>,
) {
    let accept = |(number, socket): (usize, Socket)| {
        let socket = socket.accept();
        let arrival = Box::new(Arrival {
            number: number as u64,
            ..Arrival::default()
        });
        Connection::new(Accepted { socket, arrival }, &shared)
    };
    let connections = arrived.enumerate().map(accept).take_until(stopped);
    match service {
        Service::Poem(service) => write_poems(connections, service).await,
        Service::Transform(service) => answer_connections(connections, service).await,
        Service::Library(service) => answer_connections(connections, service).await,
        Service::Proxy(_) => unreachable!("no plan has a proxy"),
    }
    shared.stop_and_wake();
}

/// Something that happens outside the server.
#[derive(Clone, Copy)]
enum Deed<'p> {
    Connect(usize),
    Act(usize, &'p Act),
    Stop,
}

/// What happens until the end of the plan, in order.
fn deeds(plan: &Plan) -> Vec<(Duration, Deed<'_>)> {
    let mut deeds = vec![(plan.stop_at, Deed::Stop)];
    for (index, peer) in plan.peers.iter().enumerate() {
        deeds.push((peer.arrives, Deed::Connect(index)));
        let acts = peer.acts.iter();
        deeds.extend(acts.map(|(at, act)| (*at, Deed::Act(index, act))));
    }
    deeds.retain(|&(at, _)| at <= plan.end());
    deeds.sort_by_key(|&(at, _)| at);
    deeds
}

/// Virtual time since the start of a run. It is also known when the runtime drops its tasks.
#[derive(Debug, Clone, Default)]
struct Time {
    origin: Rc<Cell<Option<Instant>>>,
    nanos: Arc<AtomicU64>,
}

impl Time {
    /// Counts from now on.
    fn start(&self) {
        self.origin.set(Some(Instant::now()));
    }

    fn instant(&self, at: Duration) -> Instant {
        self.origin.get().expect("time has started") + at
    }

    fn now(&self) -> Duration {
        let in_runtime = Handle::try_current().is_ok();
        if let Some(origin) = self.origin.get().filter(|_| in_runtime) {
            let nanos = origin.elapsed().as_nanos() as u64;
            self.nanos.store(nanos, Ordering::Relaxed);
        }
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// A clock for events. It shows the time of the last call of [`now`](Self::now), which every call of a socket is.
    fn clock(&self) -> Clock {
        let nanos = Arc::clone(&self.nanos);
        Clock::new(move || Duration::from_nanos(nanos.load(Ordering::Relaxed)))
    }
}
