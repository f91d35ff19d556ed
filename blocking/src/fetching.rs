//! The fetches of one call: begun together, taken by threads one after another, and where their outcomes are kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use poetry::event::Scene;
use poetry::{Cancel, Clock, FetchError, FetchRequest, Limits, Outcome, Reporter};

use crate::buffers::Buffers;
use crate::context::{Context, Sockets};
use crate::net;
use crate::pace;
use crate::poem_client::get_poetry;
use crate::transform_client::transform_or_keep;
use crate::workers;

/// What all fetches of one call have in common.
pub(crate) struct Call<'a> {
    pub(crate) requests: &'a [FetchRequest],
    pub(crate) limits: &'a Limits,
    pub(crate) clock: &'a Clock,
    pub(crate) buffers: &'a Buffers,
    pub(crate) reporter: Reporter,
    pub(crate) cancel: &'a Cancel,
    pub(crate) sockets: &'a Sockets,
}

/// The fetches of one call.
pub(crate) struct Fetches<'a> {
    call: Call<'a>,
    /// Those that have been begun, until a thread takes them.
    begun: Box<[Mutex<Option<Begun<'a>>>]>,
    /// How many have been taken; more than there are once threads have asked in vain.
    taken: AtomicUsize,
    outcomes: Box<[OnceLock<Outcome>]>,
    /// The thread that makes the others.
    maker: Thread,
}

/// A fetch that has begun at this time by the call's clock.
struct Begun<'a> {
    context: Context<'a>,
    at: Duration,
}

impl<'a> Fetches<'a> {
    /// Begins as many fetches as may be under way at once, and can have a thread, and waits for none.
    pub(crate) fn begin(call: Call<'a>) -> Self {
        let at_once = call.limits.fetches_max.min(workers::threads_limit());
        let at_once = at_once.max(1).min(call.requests.len());
        let begin = |index| Mutex::new(Some(call.begin_to_connect(index)));
        Self {
            begun: (0..at_once).map(begin).collect(),
            taken: AtomicUsize::new(0),
            outcomes: call.requests.iter().map(|_| OnceLock::new()).collect(),
            maker: thread::current(),
            call,
        }
    }

    /// Threads there is work for, the calling one among them: one for each fetch that may be under way.
    pub(crate) fn threads_max(&self) -> u32 {
        self.begun.len() as u32
    }

    /// What the thread numbered `worker` does: one fetch after another, as long as there are some that nobody has taken.
    pub(crate) fn work(&self, worker: u32) {
        while let Some((index, begun)) = self.take() {
            let request = &self.call.requests[index];
            // It is empty: nobody else has taken this one.
            let _ = self.outcomes[index].set(begun.fetch(request, worker, self.call.clock));
        }
    }

    /// The next fetch that nobody has taken. Taking shares no lock: the threads that end together would queue for it.
    fn take(&self) -> Option<(usize, Begun<'a>)> {
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        let requests = self.call.requests.len();
        if index + 1 == requests {
            self.maker.unpark();
        }
        let slot = self.begun.get(index);
        let begun =
            slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        (index < requests).then(|| (index, begun.unwrap_or_else(|| self.call.begin(index))))
    }

    /// Waits until it is the [turn](pace) of a thread that has `earlier` others before it, the first of which was made
    /// `since`; false, and at once, when there is nothing left for it to do, or nothing that takes any time.
    pub(crate) fn wants_thread(&self, earlier: u32, since: Duration) -> bool {
        let due = since.saturating_add(pace::due(earlier));
        let wanted = self.call.requests.len();
        while self.taken.load(Ordering::Relaxed) < wanted && !self.call.cancel.is_all() {
            let left = due.saturating_sub(net::now());
            if left.is_zero() {
                return true;
            }
            net::park(left);
        }
        false
    }

    /// The outcomes, in the order of the requests, when all threads have ended.
    pub(crate) fn outcomes(self) -> Vec<Outcome> {
        let outcomes = self.outcomes.into_iter();
        outcomes.filter_map(OnceLock::into_inner).collect()
    }
}

/// Connections that are begun in a row. A server that shares our core must accept some before there are more: its
/// backlog is bounded, and what does not fit waits for a second.
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
            self.buffers,
            self.reporter.clone(),
            self.cancel,
            self.sockets,
        );
        let at = self.clock.now();
        Begun { context, at }
    }

    /// Begins to connect before there is a thread to wait for it: so the kernel connects while threads are made, and
    /// what the first of many poems send meanwhile is read at once.
    fn begin_to_connect(&self, index: usize) -> Begun<'a> {
        let mut begun = self.begin(index);
        begun.context.begin(&self.requests[index].peer);
        if (index + 1).is_multiple_of(BEGUN_IN_A_ROW) {
            thread::yield_now();
        }
        begun
    }
}

impl Begun<'_> {
    /// Fetches one poem in the thread numbered `worker`, and has it transformed, if that is asked for.
    fn fetch(self, request: &FetchRequest, worker: u32, clock: &Clock) -> Outcome {
        let mut context = self.context.in_thread(worker);
        let fetched = get_poetry(&request.peer, &mut context);
        context.tell(&fetched);
        let transformed = fetched.and_then(|poem| match &request.via {
            Some(via) => transform_or_keep(poem, via, context.for_transform())
                .inspect_err(|failure| context.tell(&Err(failure.clone()))),
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
}

#[cfg(test)]
mod tests;
