//! Fetches and their transforms against a seeded adversary, which also accepts the connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ::simulation::fetch::{FetchPlan, Fetched, TRANSFORM};
use ::simulation::plan::Act;
use ::simulation::runs;
use fastrand::Rng;
use poetry::{Clock, Via};

use super::*;
use crate::dial::Connect;
use crate::process::{advance_here, virtual_now};
use crate::simulation::Quiet;
use crate::simulation::socket::{Served, Socket};

const COMMAND: &str = "cargo test -p quatrain-actors --lib poem_client::simulation -- --nocapture";

#[test]
fn s11_s13_s15_fetches_keep_the_rules_whatever_the_network_does() {
    runs::check_fetches(COMMAND, Duration::ZERO, fetch);
}

thread_local! {
    /// The sockets of the next connects of the arbiter in this thread.
    static LISTENING: RefCell<VecDeque<Socket>> = RefCell::default();
}

impl Connect for Served {
    async fn connect(_: SocketAddr) -> io::Result<Self> {
        let socket = LISTENING.with_borrow_mut(VecDeque::pop_front);
        socket
            .map(Socket::accept)
            .ok_or(io::ErrorKind::ConnectionRefused.into())
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }

    fn is_self_connected(&self) -> bool {
        false
    }
}

/// Carries out `plan`.
fn fetch(plan: &FetchPlan) -> Fetched {
    let (node, clock) = Node::start_on_test_clock().unwrap();
    let options = Options {
        limits: plan.limits.clone(),
        ..Options::new(Clock::stopped())
    };
    let settings = Arc::new(FetchSettings::new(&options, Arc::new(Unobserved)));
    let mut request = FetchRequest::new(address(1));
    if plan.transform.is_some() {
        request = request.via(Via {
            transform: TRANSFORM.to_owned(),
            peer: address(2).into(),
        });
    }
    let (done, outcomes) = mpsc::channel();
    let fetcher = Fetcher::<Served>::new(settings, vec![request], Cancel::new(), done);
    let mut servers = vec![plan.poem.clone()];
    servers.extend(plan.transform.clone());
    let (sender, ended) = mpsc::channel();
    let seed = plan.disturbance;
    let arbiter = node.arbiter(0);
    clock.at_once(move || {
        let driver = Driver::new(servers, outcomes, seed);
        arbiter.spawn(Name::new("fetcher"), || Ok((fetcher, NoPort)));
        actix::spawn(async move {
            let _ = sender.send(driver.drive().await);
        });
    });
    let (outcome, ended) = ended.recv().expect("the driver panicked");
    node.stop();
    Fetched {
        poem: outcome.poem.map_err(|error| error.failure),
        transform_failure: outcome.transform_failure.map(|error| error.failure),
        ended,
        via: plan.transform.is_some(),
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 9], port))
}

/// Does what the servers do, in the arbiter of the processes.
struct Driver {
    /// The servers, and what each does after it is connected to.
    servers: Vec<(Socket, Vec<(Duration, Act)>)>,
    outcomes: mpsc::Receiver<Vec<Outcome>>,
    /// The outcome, and when it was there.
    ended: Cell<Option<(Outcome, Duration)>>,
    quiet: Quiet,
}

impl Driver {
    fn new(
        servers: Vec<Vec<(Duration, Act)>>,
        outcomes: mpsc::Receiver<Vec<Outcome>>,
        seed: u64,
    ) -> Self {
        let (mut rng, quiet) = (Rng::with_seed(seed), Quiet::default());
        let mut socket = || Socket::new(usize::MAX, quiet.calls(), rng.fork());
        let servers: Vec<_> = servers.into_iter().map(|acts| (socket(), acts)).collect();
        let listening = servers.iter().map(|(socket, _)| socket.clone());
        LISTENING.set(listening.collect());
        Self {
            servers,
            outcomes,
            ended: Cell::default(),
            quiet,
        }
    }

    async fn drive(mut self) -> (Outcome, Duration) {
        self.idle().await;
        let servers = std::mem::take(&mut self.servers);
        for (socket, acts) in servers {
            let Some(connected) = socket.accepted_at() else {
                break;
            };
            for (at, act) in acts {
                self.advance_to(connected + at).await;
                if self.has_ended() {
                    break;
                }
                socket.act(&act);
                self.idle().await;
            }
        }
        while !self.has_ended() {
            self.advance_to(virtual_now() + Duration::from_secs(1))
                .await;
        }
        self.ended.take().expect("it has ended")
    }

    fn has_ended(&self) -> bool {
        let ended = self.ended.take();
        let has = ended.is_some();
        self.ended.set(ended);
        has
    }

    async fn advance_to(&self, at: Duration) {
        let wait = at.saturating_sub(virtual_now());
        advance_here(wait, || self.idle()).await;
    }

    /// Lets the processes run until they are idle, and looks whether there is an outcome.
    async fn idle(&self) {
        self.quiet.wait().await;
        if let Ok(mut outcomes) = self.outcomes.try_recv() {
            let outcome = outcomes.remove(0);
            self.ended.set(Some((outcome, virtual_now())));
        }
    }
}
