//! The servers against a seeded adversary, on the network and clock in memory: `simulation` makes the plan and judges the run,
//! this carries it out. Between two turns of the loop the adversary brings pieces, takes a little, and announces what is not
//! there. The loop has one thread, so a seed gives the same run again.
//!
//! ```sh
//! QUATRAIN_SIM_SEED=7 cargo test -p quatrain-callbacks --lib simulation -- --nocapture     # replays a run
//! ```

mod fetch;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::simulation::log::{Log, Observed, Step};
use ::simulation::plan::{Act, Plan};
use ::simulation::runs::{self, Recorder};
use fastrand::Rng;
use poetry::{Clock, Reporter, Service};

use super::*;
use crate::library_server::library_factory;
use crate::log;
use crate::poem_server::poem_factory;
use crate::server_state::ServerState;
use crate::transform_server::transform_factory;

const COMMAND: &str = "cargo test -p quatrain-callbacks --lib simulation -- --nocapture";

/// Time in memory moves to each deadline.
const LATE_MAX: Duration = Duration::ZERO;

/// Turns of one run, beyond which the loop is busy: plans send and take a few thousand bytes.
const TURNS_MAX: u32 = 200_000;

#[test]
fn s1_s5_s7_s18_s19_s21_s23_servers_keep_the_rules_whatever_the_network_does() {
    poetry::panics::silence_contained();
    log::set_hook(|trouble| panic!("nothing may fail outside of a connection: {trouble}"));
    runs::check(COMMAND, LATE_MAX, simulate);
}

/// Carries out `plan`.
fn simulate(plan: &Plan) -> Observed {
    let mut run = Run::new(plan);
    for (at, deed) in deeds(plan) {
        run.until(at);
        match deed {
            Deed::Connect(index) => run.connect(index),
            Deed::Act(index, act) => run.act(index, act),
            Deed::Stop => run.stop(),
        }
        if run.rng.bool() {
            run.turn();
        }
    }
    run.until(plan.end());
    run.settle();
    let finished_and_cut = run.state.finished_and_cut();
    Observed {
        logs: run.peers.into_iter().map(|peer| peer.log).collect(),
        events: run.recorder.take(),
        counts: run.state.counts(),
        finished_and_cut,
    }
}

/// Something that happens outside the server.
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

/// A run under way.
struct Run<'p> {
    plan: &'p Plan,
    reactor: MemoryReactor,
    state: Rc<ServerState>,
    factory: Rc<dyn Factory>,
    recorder: Arc<Recorder>,
    /// The time for events, in nanoseconds.
    clock: Arc<AtomicU64>,
    peers: Vec<Peer>,
    rng: Rng,
    turns: u32,
    stops: bool,
}

/// One peer: what the plan lets it take, and what of that the server has been given.
struct Peer {
    /// Acts before the server has accepted are kept here.
    end: Option<End>,
    peer: MemoryPeer,
    log: Log,
    room: usize,
    granted: usize,
    /// Whether it takes little at a time.
    is_stingy: bool,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Self {
        let mut rng = Rng::with_seed(plan.disturbance);
        let reactor = MemoryReactor::new();
        let (recorder, clock) = (Recorder::new(), Arc::<AtomicU64>::default());
        let nanos = Arc::clone(&clock);
        let events = Clock::new(move || Duration::from_nanos(nanos.load(Ordering::Relaxed)));
        let role = plan.service.role();
        let reporter = Reporter::new("callbacks", role, events, recorder.clone());
        let state = ServerState::new(plan.limits.clone(), reporter);
        let factory = match plan.service.clone() {
            Service::Poem(service) => poem_factory(service, &state),
            Service::Transform(service) => transform_factory(service, &state),
            Service::Library(service) => library_factory(service, &state),
            Service::Proxy(_) => unreachable!("no plan has a proxy"),
        };
        let peers = (40_000..).zip(&plan.peers).map(|(port, peer)| {
            let (end, memory_peer) = End::pair(reactor.network.clone(), test_address(port));
            memory_peer.connect_silently();
            memory_peer.limit_room(0);
            Peer {
                end: Some(end),
                peer: memory_peer,
                log: Log::default(),
                room: peer.room,
                granted: 0,
                is_stingy: peer.room != usize::MAX || rng.bool(),
            }
        });
        Self {
            peers: peers.collect(),
            plan,
            reactor,
            state,
            factory,
            recorder,
            clock,
            rng,
            turns: 0,
            stops: false,
        }
    }

    fn now(&self) -> Duration {
        self.reactor.network.now()
    }

    /// The server accepts the peer, unless it has stopped.
    fn connect(&mut self, index: usize) {
        let now = self.now();
        let peer = &mut self.peers[index];
        if self.stops {
            return;
        }
        if let Some(end) = peer.end.take() {
            peer.log.note(now, Step::Accepted);
            let address = Address {
                peer: peer.peer.address(),
                side: Side::Accepted {
                    serial: index as u64,
                },
            };
            grant(peer, &mut self.rng);
            let socket = Socket::Memory(end);
            self.reactor.core().adopt(socket, address, &*self.factory);
            self.note();
        }
    }

    fn act(&mut self, index: usize, act: &Act) {
        let now = self.now();
        let peer = &mut self.peers[index];
        if peer.log.closed().is_some() {
            return;
        }
        match act {
            Act::Send(bytes) => self.send(index, bytes),
            Act::Finish => {
                peer.log.note(now, Step::Finished);
                peer.peer.finish();
            }
            Act::Reset => {
                peer.log.note(now, Step::Reset);
                peer.peer.fail(ErrorKind::ConnectionReset);
            }
            Act::Take(bytes) => {
                peer.room = peer.room.saturating_add(*bytes);
                grant(peer, &mut self.rng);
            }
        }
    }

    /// Brings `bytes` in pieces, between which the loop may turn.
    fn send(&mut self, index: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.peers[index].log.closed().is_none() {
            let count = match self.rng.bool() {
                true => bytes.len(),
                false => self.rng.usize(1..=bytes.len()),
            };
            let (piece, rest) = bytes.split_at(count);
            bytes = rest;
            let now = self.now();
            let peer = &mut self.peers[index];
            peer.log.note(now, Step::Sent(piece.to_vec()));
            peer.peer.send(piece);
            if self.rng.bool() {
                self.turn();
            }
        }
    }

    fn stop(&mut self) {
        let now = self.now();
        for peer in self.peers.iter_mut().filter(|peer| peer.log.is_open()) {
            peer.log.note(now, Step::StopBegan);
        }
        self.stops = true;
        let context = Reactor::clone(&self.reactor);
        drop(self.state.shut_down(&context, self.plan.grace));
        self.note();
    }

    /// Runs the loop until `at`; every timeout before that passes at its own time.
    fn until(&mut self, at: Duration) {
        loop {
            self.settle();
            let wait = self.reactor.core().time_to_wait();
            match wait.filter(|&wait| self.now() + wait <= at) {
                Some(wait) => self.pass(wait),
                None => break,
            }
            self.turn();
        }
        self.pass(at - self.now());
    }

    fn pass(&mut self, by: Duration) {
        self.reactor.pass(by);
        // What follows happens within a turn at this time.
        self.reactor.core().update_time();
        self.clock
            .store(self.now().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Runs turns until nothing is left to do at this time.
    fn settle(&mut self) {
        loop {
            let core = self.reactor.core();
            let is_idle = self.reactor.network.shared.borrow().ready.is_empty();
            let is_due = core.time_to_wait().is_some_and(|wait| wait.is_zero());
            if is_idle && !is_due && !self.grant_all() {
                return;
            }
            self.turn();
        }
    }

    /// Runs one turn of the loop, before which a peer may be announced falsely, and notes what the server did.
    fn turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the server is in a busy loop");
        if self.rng.u8(0..8) == 0 {
            let index = self.rng.usize(..self.peers.len());
            self.peers[index].peer.announce_falsely();
        }
        self.reactor.turn();
        self.note();
    }

    /// Grants room to every peer that has used up what it was granted. Returns whether any was.
    fn grant_all(&mut self) -> bool {
        let mut any = false;
        for peer in &mut self.peers {
            any |= grant(peer, &mut self.rng);
        }
        any
    }

    /// Notes what the server has done at its ends, in the order in which a protocol does it in one turn.
    fn note(&mut self) {
        let now = self.now();
        for peer in self.peers.iter_mut().filter(|peer| peer.log.is_open()) {
            peer.note(now);
        }
    }
}

/// Lets the server write to `peer` again. Returns whether it could not before.
fn grant(peer: &mut Peer, rng: &mut Rng) -> bool {
    if peer.granted > 0 || peer.room == 0 || peer.log.closed().is_some() {
        return false;
    }
    peer.granted = match peer.is_stingy {
        true => rng.usize(1..=peer.room.min(60)),
        false => peer.room,
    };
    peer.peer.limit_room(peer.granted);
    true
}

impl Peer {
    fn note(&mut self, now: Duration) {
        let sent = self.log.sent().len() - self.log.read_until(|_| false);
        let read = sent - self.peer.unread();
        if read > 0 {
            self.log.note(now, Step::Read(read));
        }
        let taken = self.peer.received();
        if !taken.is_empty() {
            if self.room != usize::MAX {
                self.room -= taken.len();
            }
            if self.granted != usize::MAX {
                self.granted -= taken.len();
            }
            self.log.note(now, Step::Took(taken));
        }
        let sees_fin = self.peer.sees_fin() && !self.peer.is_closed();
        if sees_fin && self.log.first(|step| *step == Step::Fin).is_none() {
            self.log.note(now, Step::Fin);
        }
        if self.peer.is_closed() {
            let reset = self.peer.is_reset();
            self.log.note(now, Step::Closed { reset });
        }
    }
}
