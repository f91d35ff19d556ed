//! The servers against a seeded adversary, on a node with a test clock: `simulation` makes the plan and judges the run, this carries
//! it out. The node has one thread, and the driver acts only while every process is idle, so a seed gives the same run again.
//!
//! ```sh
//! QUATRAIN_SIM_SEED=7 cargo test -p quatrain-actors --lib simulation -- --nocapture     # replays a run
//! ```

mod server;
pub(crate) mod socket;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ::simulation::log::{Observed, Step};
use ::simulation::plan::{Act, Plan};
use ::simulation::runs::{self, Recorder};
use fastrand::Rng;
use poetry::{Clock, Counters, Counts, Reporter, Service};
use tokio::task::yield_now;

use crate::NAME;
use crate::ledger::ConnectionContext;
use crate::listener::Protocol;
use crate::poem_server::Poems;
use crate::process::{Node, Pid, advance_here, virtual_now};
use server::{Server, ToServer};
use socket::Socket;

const COMMAND: &str = "cargo test -p quatrain-actors --lib simulation -- --nocapture";

/// The test clock stops at each deadline.
const LATE_MAX: Duration = Duration::ZERO;

#[test]
fn s1_s5_s7_s18_s19_s21_s23_servers_keep_the_rules_whatever_the_network_does() {
    poetry::panics::silence_contained();
    runs::check(COMMAND, LATE_MAX, |plan| match plan.service.clone() {
        Service::Poem(service) => simulate(plan, Poems(service)),
        Service::Transform(service) => simulate(plan, Arc::new(service)),
        Service::Library(service) => simulate(plan, Arc::new(service)),
        Service::Proxy(_) => unreachable!("no plan has a proxy"),
    });
}

/// Carries out `plan` with `protocol`.
fn simulate(plan: &Plan, protocol: impl Protocol) -> Observed {
    let mut rng = Rng::with_seed(plan.disturbance);
    let (node, clock) = Node::start_on_test_clock().unwrap();
    let (recorder, counters) = (Recorder::new(), Arc::<Counters>::default());
    let role = plan.service.role();
    let context = ConnectionContext {
        worker: 0,
        limits: plan.limits.clone(),
        counters: Arc::clone(&counters),
        reporter: Reporter::new(NAME, role, Clock::new(virtual_now), recorder.clone()),
        address: ([127, 0, 0, 1], 1).into(),
    };
    let ends = Arc::<server::Ends>::default();
    let server = Server::new(protocol, Arc::new(context), Arc::clone(&ends));
    let server = node.spawn("server", server);
    let quiet = Quiet::default();
    let peers = plan.peers.iter();
    let sockets: Vec<Socket> = peers
        .map(|peer| Socket::new(peer.room, quiet.calls(), rng.fork()))
        .collect();
    let driver = Driver {
        server,
        sockets: sockets.clone(),
        grace: plan.grace,
        quiet,
        rng,
    };
    let (deeds, end) = (deeds(plan), plan.end());
    let (sender, driven) = mpsc::channel();
    clock.at_once(move || {
        actix::spawn(async move {
            driver.drive(deeds, end).await;
            let _ = sender.send(());
        });
    });
    driven.recv().expect("the driver panicked");
    node.stop();
    Observed {
        logs: sockets.iter().map(Socket::take_log).collect(),
        events: recorder.take(),
        counts: Counts::from(&*counters),
        finished_and_cut: ends.get(),
    }
}

/// Something that happens outside the server.
enum Deed {
    Connect(usize),
    Act(usize, Act),
    Stop,
}

/// What happens until the end of the plan, in order. Nothing connects after the stop.
fn deeds(plan: &Plan) -> Vec<(Duration, Deed)> {
    let mut deeds = Vec::new();
    for (index, peer) in plan.peers.iter().enumerate() {
        if peer.arrives < plan.stop_at {
            deeds.push((peer.arrives, Deed::Connect(index)));
        }
        let acts = peer.acts.iter().cloned();
        deeds.extend(acts.map(|(at, act)| (at, Deed::Act(index, act))));
    }
    deeds.push((plan.stop_at, Deed::Stop));
    deeds.retain(|&(at, _)| at <= plan.end());
    deeds.sort_by_key(|&(at, _)| at);
    deeds
}

/// Turns of the arbiter without a call of a socket after which its processes count as idle: more than it takes to pass a message from
/// process to process a few times.
const QUIET_TURNS: u32 = 12;

/// Does what the plan says, in the arbiter of the processes.
struct Driver {
    server: Pid<ToServer>,
    sockets: Vec<Socket>,
    grace: Duration,
    quiet: Quiet,
    rng: Rng,
}

impl Driver {
    async fn drive(mut self, deeds: Vec<(Duration, Deed)>, end: Duration) {
        for (at, deed) in deeds {
            self.advance_to(at).await;
            match deed {
                Deed::Connect(index) => {
                    let socket = self.sockets[index].clone();
                    assert!(self.server.try_send(ToServer::Serve(socket)).is_ok());
                }
                Deed::Act(index, act) => self.sockets[index].act(&act),
                Deed::Stop => {
                    for socket in &self.sockets {
                        socket.note_if_open(Step::StopBegan);
                    }
                    assert!(self.server.try_send(ToServer::Stop(self.grace)).is_ok());
                }
            }
            // Otherwise the processes see this and the next deed of the same time at once.
            if self.rng.bool() {
                self.idle().await;
            }
        }
        // Also if that is now: a timeout of no time passes when the clock is moved.
        advance_here(end - virtual_now(), || self.idle()).await;
    }

    /// Moves the time, stopping at every deadline on the way.
    async fn advance_to(&self, at: Duration) {
        let wait = at - virtual_now();
        if !wait.is_zero() {
            advance_here(wait, || self.idle()).await;
        }
    }

    async fn idle(&self) {
        self.quiet.wait().await;
    }
}

/// Waits until the processes of an arbiter are idle.
#[derive(Default)]
pub(crate) struct Quiet {
    /// The calls of all sockets.
    calls: Arc<AtomicU64>,
}

impl Quiet {
    /// The count of calls, for a socket.
    pub(crate) fn calls(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.calls)
    }

    /// Lets the processes run until they are idle.
    pub(crate) async fn wait(&self) {
        let (mut before, mut quiet) = (self.calls.load(Ordering::Relaxed), 0);
        while quiet < QUIET_TURNS {
            yield_now().await;
            let calls = self.calls.load(Ordering::Relaxed);
            quiet = if calls == before { quiet + 1 } else { 0 };
            before = calls;
        }
    }
}
