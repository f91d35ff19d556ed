//! The process that fetches many poems: it starts poets, up to a limit at once, and collects their messages.

use std::marker::PhantomData;
use std::sync::{Arc, mpsc};

use poetry::cancel::Target;
use poetry::event::Scene;
use poetry::{Cancel, FetchFailure, FetchRequest, Kind, Outcome};

use super::{FetchSettings, crashed, failed, get_poetry};
use crate::dial::Connect;
use crate::messages::{Fetched, ToFetcher};
use crate::monitor::{Down, Reason};
use crate::port::NoPort;
use crate::process::{ById, Me, Next, Process, ProcessRef, Received};

pub(super) struct Fetcher<S> {
    settings: Arc<FetchSettings>,
    requests: Vec<FetchRequest>,
    /// Checked before a poet is started: the message about a cancel may not have arrived yet.
    cancel: Cancel,
    outcomes: Vec<Option<Outcome>>,
    /// The index of the next request.
    next: usize,
    /// The number of requests without an outcome.
    left: usize,
    poets: ById<(usize, ProcessRef)>,
    /// Receives the outcomes of all requests.
    done: mpsc::Sender<Vec<Outcome>>,
    stream: PhantomData<fn() -> S>,
}

impl<S: Connect> Fetcher<S> {
    pub(super) fn new(
        settings: Arc<FetchSettings>,
        requests: Vec<FetchRequest>,
        cancel: Cancel,
        done: mpsc::Sender<Vec<Outcome>>,
    ) -> Self {
        Self {
            outcomes: vec![None; requests.len()],
            next: 0,
            left: requests.len(),
            poets: ById::default(),
            settings,
            requests,
            cancel,
            done,
            stream: PhantomData,
        }
    }

    // ANCHOR: fetch_all
    /// Starts poets until the limit is reached (S15). Exits once every request has its outcome.
    fn start_poets(&mut self, me: &mut Me<'_, Self>) -> Next {
        let poets_max = self.settings.limits.fetches_max.max(1);
        while self.poets.len() < poets_max && self.next < self.requests.len() {
            let task = self.next;
            self.next += 1;
            if self.cancel.is_cancelled(task) {
                self.cancel_before_start(task);
                continue;
            }
            let arbiter = me.node().arbiter(task);
            let request = (task, self.requests[task].clone());
            let poet = get_poetry::<S, _>(&arbiter, &self.settings, request, me.pid()).process();
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

    /// A poet has ended. If it sent a message, that has arrived before.
    fn poet_is_down(&mut self, down: &Down, me: &mut Me<'_, Self>) -> Next {
        if let Some((task, _)) = self.poets.remove(&down.process) {
            let outcome = crashed(&self.requests[task], &down.reason.to_string());
            self.keep(task, outcome);
        }
        self.start_poets(me)
    }
    // ANCHOR_END: fetch_all

    // ANCHOR: keep_outcome
    /// Keeps the first outcome of a request.
    fn keep(&mut self, task: usize, outcome: Outcome) {
        let kept = &mut self.outcomes[task];
        if kept.is_none() {
            *kept = Some(outcome);
            self.left -= 1;
        }
    }
    // ANCHOR_END: keep_outcome

    // ANCHOR: cancel
    /// Asks poets to exit, which then report the cancel themselves (S14), and cancels requests that have not begun.
    fn cancel(&mut self, target: Target, me: &mut Me<'_, Self>) {
        let is_target = |task: usize| target == Target::All || target == Target::Task(task);
        for (_, poet) in self.poets.values().filter(|(task, _)| is_target(*task)) {
            me.exit(poet, Reason::Shutdown);
        }
        for task in (self.next..self.requests.len()).filter(|&task| is_target(task)) {
            self.cancel_before_start(task);
        }
    }
    // ANCHOR_END: cancel

    fn cancel_before_start(&mut self, task: usize) {
        if self.outcomes[task].is_none() {
            let scene = Scene {
                task: task as u64,
                ..Scene::default()
            };
            let cancelled = FetchFailure::Cancelled;
            let reporter = &self.settings.reporter;
            reporter.report(scene, Kind::Failed(cancelled.clone()));
            self.keep(task, failed(&self.requests[task], cancelled));
        }
    }
}

impl<S: Connect> Process for Fetcher<S> {
    type Message = ToFetcher;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.start_poets(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToFetcher::Fetched(Fetched { task, outcome, .. })) => {
                self.keep(task, outcome);
                Next::Receive
            }
            Received::Message(ToFetcher::Cancel(target)) => {
                self.cancel(target, me);
                self.start_poets(me)
            }
            Received::Down(down) => self.poet_is_down(&down, me),
            Received::Exit(_) | Received::Timeout => Next::Receive,
            Received::Port(never) => match never {},
        }
    }
}
