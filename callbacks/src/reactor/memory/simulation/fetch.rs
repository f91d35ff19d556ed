//! Fetches and their transforms against a seeded adversary.

use ::simulation::fetch::{FetchPlan, Fetched, TRANSFORM};

use super::*;
use crate::deferred::Deferred;
use crate::poem_client::get_poetry_with;
use crate::task::{Task, fetch_failure};
use crate::transform_client::{Transformed, transform_or_keep_with};
use poetry::event::Unobserved;
use poetry::{Peer as Server, Role, Via};

const COMMAND: &str = "cargo test -p quatrain-callbacks --lib simulation::fetch -- --nocapture";

#[test]
fn s11_s13_s15_fetches_keep_the_rules_whatever_the_network_does() {
    poetry::panics::silence_contained();
    runs::check_fetches(COMMAND, LATE_MAX, fetch);
}

/// Carries out `plan`.
fn fetch(plan: &FetchPlan) -> Fetched {
    let mut run = Run {
        reactor: MemoryReactor::new(),
        servers: vec![plan.poem.as_slice()],
        coming: VecDeque::new(),
        rng: Rng::with_seed(plan.disturbance),
        turns: 0,
    };
    run.servers.extend(plan.transform.as_deref());
    let fetched = begin(plan, &run.reactor);
    while !fetched.is_settled() {
        run.turn();
        let is_idle = run.reactor.network.shared.borrow().ready.is_empty();
        let wait = run.reactor.core().time_to_wait();
        if is_idle && !fetched.is_settled() && wait.is_none_or(|wait| !wait.is_zero()) {
            run.advance(wait);
        }
    }
    let result = fetched.take_result().expect("it is settled");
    let (poem, transform_failure) = match result {
        Ok((poem, failure)) => (Ok(poem.into()), failure.map(|error| error.failure)),
        Err(failure) => (Err(fetch_failure(failure)), None),
    };
    Fetched {
        poem,
        transform_failure,
        ended: run.reactor.network.now(),
        via: plan.transform.is_some(),
    }
}

/// Fetches as `Fetches::fetch` does.
fn begin(plan: &FetchPlan, reactor: &MemoryReactor) -> Deferred<Transformed> {
    let observer = Arc::new(Unobserved);
    let reporter = Reporter::new("callbacks", Role::PoemClient, Clock::stopped(), observer);
    let task = Task::new(reactor, plan.limits.clone(), &reporter);
    let address = |port: u16| Server::from(test_address(port));
    let poem = get_poetry_with(reactor, address(1), &task);
    if plan.transform.is_none() {
        return poem.add_callback(|poem| Ok((poem, None)));
    }
    let via = Via {
        transform: TRANSFORM.to_owned(),
        peer: address(2),
    };
    let context = Reactor::clone(reactor);
    poem.add_callback(move |poem| transform_or_keep_with(&context, &via, poem, &task))
}

/// A fetch under way.
struct Run<'p> {
    reactor: MemoryReactor,
    /// What the servers that are still to be dialled do, in order.
    servers: Vec<&'p [(Duration, Act)]>,
    /// What the servers that were dialled will do, soonest first.
    coming: VecDeque<(Duration, &'p Act, MemoryPeer)>,
    rng: Rng,
    turns: u32,
}

impl Run<'_> {
    fn turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the client is in a busy loop");
        self.reactor.turn();
        for peer in self.reactor.dialled() {
            peer.accept();
            let now = self.reactor.network.now();
            let acts = self.servers.remove(0).iter();
            let acts = acts.map(|(at, act)| (now + *at, act, peer.clone()));
            self.coming.extend(acts);
        }
    }

    /// Moves the time to what comes next: a timeout after `wait`, or an act of a server.
    fn advance(&mut self, wait: Option<Duration>) {
        let now = self.reactor.network.now();
        let due = wait.map_or(Duration::MAX, |wait| now + wait);
        match self.coming.front() {
            Some(&(at, ..)) if at <= due => self.pass(at - now),
            _ => return self.pass(due.saturating_sub(now)),
        }
        if let Some((_, act, peer)) = self.coming.pop_front() {
            self.act(act, &peer);
        }
    }

    fn pass(&self, by: Duration) {
        self.reactor.pass(by);
        self.reactor.core().update_time();
    }

    fn act(&mut self, act: &Act, peer: &MemoryPeer) {
        match act {
            Act::Send(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let piece;
                    (piece, rest) = rest.split_at(self.rng.usize(1..=rest.len()));
                    peer.send(piece);
                    if self.rng.bool() {
                        peer.announce_falsely();
                    }
                    if self.rng.bool() {
                        self.turn();
                    }
                }
            }
            Act::Finish => peer.finish(),
            Act::Reset => peer.fail(ErrorKind::ConnectionReset),
            Act::Take(bytes) => peer.limit_room(*bytes),
        }
    }
}
