//! The fetches of one call: begun together, then completed by threads, each of which takes one fetch after another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use poetry::event::Scene;
use poetry::{Cancel, Clock, FetchError, FetchRequest, Limits, Outcome, Reporter};

use crate::context::{Context, Shared};
use crate::net;
use crate::permits::threads_limit;
use crate::poem_client::fetch_poem;
use crate::sockets::Sockets;
use crate::transform_client::transform_or_keep;

/// What all fetches of one call share.
pub(crate) struct Call<'a> {
    pub(crate) requests: &'a [FetchRequest],
    pub(crate) limits: &'a Limits,
    pub(crate) clock: &'a Clock,
    pub(crate) shared: &'a Shared,
    pub(crate) reporter: Reporter,
    pub(crate) cancel: &'a Cancel,
    pub(crate) sockets: &'a Sockets,
}

/// The fetches of one call.
pub(crate) struct Fetches<'a> {
    call: Call<'a>,
    /// The fetches that were begun beforehand, until a thread takes them.
    begun: Box<[Mutex<Option<Begun<'a>>>]>,
    /// The number of fetches taken, plus one for each thread that found none left.
    taken: AtomicUsize,
    outcomes: Box<[OnceLock<Outcome>]>,
    /// The thread that spawns the others.
    spawner: Thread,
}

/// A fetch that has begun, at this time of the call's clock.
struct Begun<'a> {
    context: Context<'a>,
    at: Duration,
}

impl<'a> Fetches<'a> {
    /// Begins as many fetches as the limits on fetches and threads allow at once, without waiting for any of them.
    pub(crate) fn begin(call: Call<'a>) -> Self {
        let at_once = call.limits.fetches_max.min(threads_limit());
        let at_once = at_once.max(1).min(call.requests.len());
        let mut short = false;
        let begin = |index| Mutex::new(Some(call.begin_to_connect(index, &mut short)));
        Self {
            begun: (0..at_once).map(begin).collect(),
            taken: AtomicUsize::new(0),
            outcomes: call.requests.iter().map(|_| OnceLock::new()).collect(),
            spawner: thread::current(),
            call,
        }
    }

    /// Returns how many threads the fetches can use, including the calling one: one for each fetch begun beforehand.
    pub(crate) fn threads_max(&self) -> u32 {
        self.begun.len() as u32
    }

    /// Returns whether one more thread would find a fetch to take. After a cancel of all fetches, no more threads are
    /// needed.
    pub(crate) fn want_a_thread(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < self.call.requests.len() && !self.call.cancel.is_all()
    }

    /// The loop of the thread numbered `worker`: takes and completes one fetch after another, until none is left.
    pub(crate) fn run(&self, worker: u32) {
        while let Some((index, begun)) = self.take() {
            let request = &self.call.requests[index];
            // Setting it succeeds, since only one thread takes an index.
            let _ = self.outcomes[index].set(begun.fetch(request, worker, self.call.clock));
        }
    }

    /// Takes the next fetch, without a lock that all threads share: those that finish together would queue for it.
    fn take(&self) -> Option<(usize, Begun<'a>)> {
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        let requests = self.call.requests.len();
        if index + 1 == requests {
            self.spawner.unpark();
        }
        let slot = self.begun.get(index);
        let begun =
            slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        (index < requests).then(|| (index, begun.unwrap_or_else(|| self.call.begin(index))))
    }

    /// Returns the outcomes, in the order of the requests. All threads must have ended.
    pub(crate) fn outcomes(self) -> Vec<Outcome> {
        let outcomes = self.outcomes.into_iter();
        outcomes.filter_map(OnceLock::into_inner).collect()
    }
}

/// Connections begun in a row before the thread yields, so that a server on the same core can accept some: its backlog is
/// bounded, and the kernel tries a connection that did not fit again only after a second.
const BEGUN_IN_A_ROW: usize = 256;

impl<'a> Call<'a> {
    fn begin(&self, index: usize) -> Begun<'a> {
        let scene = Scene {
            task: index as u64,
            ..Scene::default()
        };
        let context = Context::new(
            scene,
            net::now(),
            self.limits,
            self.shared,
            self.reporter.clone(),
            self.cancel,
            self.sockets,
        );
        let at = self.clock.now();
        Begun { context, at }
    }

    /// Begins to connect before the fetch has a thread. So the kernel connects while threads are spawned, and keeps what
    /// arrives meanwhile.
    /// Once the process is `short` of descriptors, further connections are left to the threads. So a thread that waits for
    /// one (S15) never waits for a connection that would need this very thread.
    fn begin_to_connect(&self, index: usize, short: &mut bool) -> Begun<'a> {
        let mut begun = self.begin(index);
        *short = *short || !begun.context.begin(&self.requests[index].peer);
        if (index + 1).is_multiple_of(BEGUN_IN_A_ROW) {
            thread::yield_now();
        }
        begun
    }
}

impl Begun<'_> {
    // ANCHOR: fetch_and_keep
    /// Fetches one poem in the thread numbered `worker`, and has it transformed if the request asks for it.
    fn fetch(self, request: &FetchRequest, worker: u32, clock: &Clock) -> Outcome {
        let mut context = self.context.in_thread(worker);
        let fetched = fetch_poem(request, &mut context);
        context.report_result(fetched.as_deref());
        let transformed = fetched.and_then(|poem| match &request.via {
            Some(via) => transform_or_keep(poem, via, context.for_transform())
                .inspect_err(|failure| context.report_result(Err(failure))),
            None => Ok((poem, None)),
        });
        let (poem, transform_failure) = match transformed {
            Ok((poem, failure)) => (Ok(poem), failure),
            Err(failure) => (Err(FetchError::new(&request.peer, failure)), None),
        };
        Outcome {
            poem,
            transform_failure,
            bytes: context.received(),
            elapsed: clock.now().saturating_sub(self.at),
        }
    }
    // ANCHOR_END: fetch_and_keep
}

#[cfg(test)]
mod tests;
