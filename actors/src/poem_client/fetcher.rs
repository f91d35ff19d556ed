//! The process that sends out poets, at most so many at once, and collects what they bring.

use std::marker::PhantomData;
use std::sync::{Arc, mpsc};

use poetry::cancel::Target;
use poetry::event::Scene;
use poetry::{Cancel, FetchFailure, Kind, Outcome};

use super::{Fetch, crashed, failed, get_poetry};
use crate::dial::Connect;
use crate::messages::ToFetcher;
use crate::monitor::{Down, Reason};
use crate::port::NoPort;
use crate::process::{ById, Me, Next, Process, ProcessRef, Received};

pub(super) struct Fetcher<S> {
    fetch: Arc<Fetch>,
    /// Asked before a poet is sent out: the message about it may still be on its way.
    cancel: Cancel,
    outcomes: Vec<Option<Outcome>>,
    /// The request whose turn is next.
    next: usize,
    /// Requests without an outcome.
    left: usize,
    poets: ById<(usize, ProcessRef)>,
    /// Whoever waits outside.
    done: mpsc::Sender<Vec<Outcome>>,
    stream: PhantomData<fn() -> S>,
}

impl<S: Connect> Fetcher<S> {
    pub(super) fn new(fetch: Arc<Fetch>, cancel: Cancel, done: mpsc::Sender<Vec<Outcome>>) -> Self {
        Self {
            outcomes: vec![None; fetch.requests.len()],
            next: 0,
            left: fetch.requests.len(),
            poets: ById::default(),
            fetch,
            cancel,
            done,
            stream: PhantomData,
        }
    }

    // ANCHOR: fetch_all
    /// Sends out poets until as many are under way as may be (S15).
    fn send_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        let under_way_max = self.fetch.limits.fetches_max.max(1);
        while self.poets.len() < under_way_max && self.next < self.outcomes.len() {
            let task = self.next;
            self.next += 1;
            if self.cancel.is_cancelled(task) {
                self.never_sent_out(task);
                continue;
            }
            let arbiter = me.node().arbiter(task);
            let poet = get_poetry::<S>(&arbiter, &self.fetch, task, me.pid()).process();
            me.monitor(&poet);
            self.poets.insert(poet.id(), (task, poet));
        }
        if self.left > 0 {
            return Next::Receive;
        }
        let outcomes = self.outcomes.iter_mut().filter_map(Option::take).collect();
        let _ = self.done.send(outcomes);
        Next::Exit(Reason::Normal)
    }

    /// A poet's place is free once it is down, so its message has come before.
    fn poet_is_down(&mut self, down: &Down, me: &mut Me<'_, Self>) -> Next {
        if let Some((task, _)) = self.poets.remove(&down.process) {
            // One that ended without a word still has its outcome.
            let request = &self.fetch.requests[task];
            let outcome = crashed(request, &down.reason.to_string());
            self.keep(task, outcome);
        }
        self.send_out(me)
    }
    // ANCHOR_END: fetch_all

    fn keep(&mut self, task: usize, outcome: Outcome) {
        let kept = &mut self.outcomes[task];
        if kept.is_none() {
            *kept = Some(outcome);
            self.left -= 1;
        }
    }

    /// Poets under way say themselves that they were cancelled (S14).
    fn cancel(&mut self, target: Target) {
        let named = |task: usize| target == Target::All || target == Target::Task(task);
        for (_, poet) in self.poets.values().filter(|(task, _)| named(*task)) {
            poet.exit(Reason::Shutdown);
        }
        for task in (self.next..self.outcomes.len()).filter(|&task| named(task)) {
            self.never_sent_out(task);
        }
    }

    /// A request that was cancelled before its turn.
    fn never_sent_out(&mut self, task: usize) {
        if self.outcomes[task].is_none() {
            let scene = Scene {
                task: task as u64,
                ..Scene::default()
            };
            let cancelled = FetchFailure::Cancelled;
            self.fetch
                .reporter
                .report(scene, Kind::Failed(cancelled.clone()));
            self.keep(task, failed(&self.fetch.requests[task], cancelled));
        }
    }
}

impl<S: Connect> Process for Fetcher<S> {
    type Message = ToFetcher;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.send_out(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToFetcher::Poem { task, outcome }) => {
                self.keep(task, outcome);
                Next::Receive
            }
            Received::Message(ToFetcher::Cancel(target)) => {
                self.cancel(target);
                self.send_out(me)
            }
            Received::Down(down) => self.poet_is_down(&down, me),
            Received::Exit(_) | Received::Timeout => Next::Receive,
            Received::Port(never) => match never {},
        }
    }
}
