//! Clients behind the contract: all poems of a fetch at once, in one reactor on the calling thread, or divided among
//! several reactors.

use std::io;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use poetry::limits::FETCHES_MAX;
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome, Reporter,
    Role,
};

use self::fetches::Fetches;
use crate::reactor::{Group, OpenReactor, Reactor};

mod fetches;

/// A client of this model, behind the contract.
pub(crate) struct ReactorClient {
    options: Options,
}

impl ReactorClient {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
        }
    }
}

impl Client for ReactorClient {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let limits = &self.options.limits;
        let reporter = Reporter::new(
            "callbacks",
            Role::PoemClient,
            self.options.clock.clone(),
            observer,
        );
        let reactors = self.options.threads.get();
        let reactors = reactors.min(limits.fetches_max).min(requests.len()).max(1);
        let group = Group::default();
        let share = |worker| Share {
            group: group.clone(),
            ..Share::new(worker, reactors, limits, &reporter, requests, cancel)
        };
        let own = share(0);
        let others: Vec<_> = (1..reactors).map(share).collect();
        if others.is_empty() {
            return own.fetch();
        }
        in_request_order(fetch_in_threads(own, others))
    }
}

/// Fetches `own` on this thread, and each of `others` on a thread of its own.
fn fetch_in_threads(own: Share, others: Vec<Share>) -> Vec<Vec<Outcome>> {
    thread::scope(|scope| {
        let others: Vec<_> = others
            .into_iter()
            .map(|share| scope.spawn(move || share.fetch()))
            .collect();
        let own = own.fetch();
        // No thread panics outside of callbacks; if one did, its outcomes would be missing.
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_default());
        iter::once(own).chain(others).collect()
    })
}

/// Merges the outcomes of the shares, one of each in turn, as the requests were divided.
fn in_request_order(shares: Vec<Vec<Outcome>>) -> Vec<Outcome> {
    let wanted: usize = shares.iter().map(Vec::len).sum();
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let mut outcomes = Vec::with_capacity(wanted);
    while outcomes.len() < wanted {
        outcomes.extend(shares.iter_mut().filter_map(Iterator::next));
    }
    outcomes
}

/// The part of a fetch that one reactor runs.
struct Share {
    worker: u32,
    limits: poetry::Limits,
    reporter: Reporter,
    requests: Vec<(usize, FetchRequest)>,
    cancel: Cancel,
    /// What the reactors of this fetch share.
    group: Group,
}

impl Share {
    /// Takes every `reactors`-th request, and the same part of the limit on simultaneous fetches.
    fn new(
        worker: usize,
        reactors: usize,
        limits: &poetry::Limits,
        reporter: &Reporter,
        requests: &[FetchRequest],
        cancel: &Cancel,
    ) -> Self {
        let mut limits = limits.clone();
        let remainder = usize::from(worker < limits.fetches_max % reactors);
        limits.fetches_max = limits.fetches_max / reactors + remainder;
        Self {
            worker: worker as u32,
            limits,
            reporter: reporter.clone(),
            requests: requests
                .iter()
                .enumerate()
                .skip(worker)
                .step_by(reactors)
                .map(|(index, request)| (index, request.clone()))
                .collect(),
            cancel: cancel.clone(),
            group: Group::default(),
        }
    }

    /// Fetches all of it; the outcomes are in the order of its requests.
    fn fetch(self) -> Vec<Outcome> {
        let reactor = match Reactor::open_in(&self.group) {
            Ok(reactor) => reactor,
            Err(error) => return self.all_failed(&error),
        };
        fetch_all(&reactor, self)
    }

    /// Returns the outcomes when the system has no descriptor for the reactor.
    fn all_failed(self, error: &io::Error) -> Vec<Outcome> {
        let outcome = |(_, request): (usize, FetchRequest)| Outcome {
            poem: Err(FetchError::new(
                request.peer,
                FetchFailure::connection_failed(error),
            )),
            transform_failure: None,
            bytes: 0,
            elapsed: Duration::ZERO,
        };
        self.requests.into_iter().map(outcome).collect()
    }
}

// ANCHOR: fetch_all
/// Fetches every poem of `share`, as many at once as its limits allow. Runs the reactor until all have ended.
fn fetch_all(reactor: &OpenReactor, share: Share) -> Vec<Outcome> {
    let fetches = Fetches::new(reactor, share);
    begin(&fetches, 0);
    let _subscription = fetches.share.cancel.subscribe(fetches.canceller());
    if !fetches.is_over() {
        // It cannot be running already: it was created for this fetch.
        let _ = reactor.run();
    }
    fetches.outcomes()
}

/// Begins the fetches from `first` on, up to a turn's bound; the next turn begins the others.
fn begin(fetches: &Rc<Fetches>, first: usize) {
    let wanted = fetches.share.requests.len();
    let next = wanted.min(first + BEGUN_PER_TURN);
    for place in first..next {
        let (begins, ends) = (Rc::clone(fetches), Rc::clone(fetches));
        let fetch = fetches
            .slots
            .run(move || begins.fetch(place))
            .add_both(move |result| {
                ends.end(place, result);
                Ok(())
            });
        fetches.watch(place, &fetch);
    }
    if next < wanted {
        let (reactor, fetches) = (&fetches.reactor, Rc::clone(fetches));
        reactor.call_later(Duration::ZERO, move || begin(&fetches, next));
    }
}
// ANCHOR_END: fetch_all

/// Fetches begun in one turn: all are dialled before any is read, because the last to begin is the last to end, and the
/// kernel keeps what arrives meanwhile. The bound limits the length of a turn, which delays other calls. It does not delay a
/// cancel, for which each fetch checks, nor a connect timeout, which counts from the connection's own start.
const BEGUN_PER_TURN: usize = FETCHES_MAX;
