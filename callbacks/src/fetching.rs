//! Clients behind the contract: all poems of a fetch at once, in one reactor of the calling thread, or shared out among
//! several.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use poetry::cancel::Target;
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Kind, Observer, Options, Outcome, Peer,
    Reporter, Role,
};

use crate::deferred::semaphore::DeferredSemaphore;
use crate::deferred::{Control, Deferred};
use crate::failure::{Cancelled, Failure};
use crate::poem_client::get_poetry;
use crate::reactor::{OpenReactor, Reactor};
use crate::task::{Task, fetch_failure};
use crate::transform_client::{Transformed, transform_or_keep};

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
        let reactors = self
            .options
            .threads
            .get()
            .min(limits.fetches_max)
            .min(requests.len())
            .max(1);
        let mut shares: Vec<Share> = (0..reactors)
            .map(|worker| Share::new(worker, reactors, limits, &reporter, requests, cancel))
            .collect();
        let own = shares.remove(0);
        let mut outcomes: Vec<(usize, Outcome)> = thread::scope(|scope| {
            let others: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(move || share.fetch()))
                .collect();
            let mut outcomes = own.fetch();
            for other in others {
                // A thread cannot panic outside of callbacks; if one does, its poems are missed below.
                outcomes.extend(other.join().unwrap_or_default());
            }
            outcomes
        });
        outcomes.sort_unstable_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// The part of a fetch that one reactor does.
struct Share {
    worker: u32,
    limits: poetry::Limits,
    reporter: Reporter,
    requests: Vec<(usize, FetchRequest)>,
    cancel: Cancel,
}

impl Share {
    /// Every `reactors`-th request, and as large a part of what may be under way at once.
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
                .cloned()
                .enumerate()
                .skip(worker)
                .step_by(reactors)
                .collect(),
            cancel: cancel.clone(),
        }
    }

    fn fetch(self) -> Vec<(usize, Outcome)> {
        let reactor = match Reactor::open() {
            Ok(reactor) => reactor,
            Err(error) => return self.all_failed(&error),
        };
        fetch_all(&reactor, self)
    }

    /// The system had no descriptor for the reactor itself.
    fn all_failed(self, error: &io::Error) -> Vec<(usize, Outcome)> {
        let outcome = |request: FetchRequest| Outcome {
            poem: Err(FetchError::new(
                request.peer,
                FetchFailure::connection_failed(error),
            )),
            transform_failure: None,
            bytes: 0,
            elapsed: Duration::ZERO,
        };
        self.requests
            .into_iter()
            .map(|(index, request)| (index, outcome(request)))
            .collect()
    }
}

// ANCHOR: fetch_all
/// Fetches every poem of `share`, as many at once as its limits allow, and runs the reactor until all have ended.
fn fetch_all(reactor: &OpenReactor, mut share: Share) -> Vec<(usize, Outcome)> {
    let requests = std::mem::take(&mut share.requests);
    let fetches = Fetches::new(reactor, &share, requests.len());
    begin(&fetches, requests.into_iter());
    let _subscription = share.cancel.subscribe(fetches.canceller());
    if !fetches.is_over() {
        // It cannot be running already: it was made for this.
        let _ = reactor.run();
    }
    fetches.outcomes.take()
}

/// Begins some fetches, and leaves the others to the next turn.
fn begin(fetches: &Rc<Fetches>, mut requests: std::vec::IntoIter<(usize, FetchRequest)>) {
    for (index, request) in requests.by_ref().take(BEGUN_PER_TURN) {
        let (begins, gives_up, ends) = (Rc::clone(fetches), Rc::clone(fetches), Rc::clone(fetches));
        let peer = request.peer.clone();
        let fetch = fetches
            .turns
            .run(move || begins.fetch(index, request))
            .add_errback(move |failure| Ok(gives_up.never_begun(index, peer, failure)))
            .add_callback(move |outcome| {
                ends.end(index, outcome);
                Ok(())
            });
        fetches.watch(index, &fetch);
    }
    if requests.len() > 0 {
        let next = Rc::clone(fetches);
        fetches
            .reactor
            .call_later(Duration::ZERO, move || begin(&next, requests));
    }
}
// ANCHOR_END: fetch_all

/// Fetches begun in one turn: a burst that a listener's backlog takes, with room for others.
const BEGUN_PER_TURN: usize = 256;

/// A fetch of many poems, under way in one reactor.
struct Fetches {
    turns: DeferredSemaphore,
    reactor: Reactor,
    limits: Rc<poetry::Limits>,
    reporter: Reporter,
    worker: u32,
    cancel: Cancel,
    wanted: usize,
    outcomes: RefCell<Vec<(usize, Outcome)>>,
    /// What can still be cancelled.
    controls: RefCell<BTreeMap<usize, Control>>,
}

impl Fetches {
    fn new(reactor: &Reactor, share: &Share, wanted: usize) -> Rc<Self> {
        Rc::new(Self {
            turns: DeferredSemaphore::new(share.limits.fetches_max),
            reactor: reactor.clone(),
            limits: Rc::new(share.limits.clone()),
            reporter: share.reporter.clone(),
            worker: share.worker,
            cancel: share.cancel.clone(),
            wanted,
            outcomes: RefCell::default(),
            controls: RefCell::default(),
        })
    }

    /// One poem, and its transform if there is to be one: the chain never fails, its outcome says what did.
    fn fetch(&self, index: usize, request: FetchRequest) -> Deferred<Outcome> {
        if self.cancel.is_cancelled(index) {
            // The word of it is still on its way here.
            return Deferred::succeed(self.never_begun(index, request.peer, Cancelled.into()));
        }
        let task = self.task(index);
        let (reactor, transforming) = (self.reactor.clone(), Rc::clone(&task));
        let (clock, peer, via) = (self.reporter.clock().clone(), request.peer, request.via);
        let began = clock.now();
        get_poetry(&self.reactor, &peer, &task)
            .add_callback(move |poem| match via {
                Some(via) => transform_or_keep(&reactor, &via, poem, &transforming),
                None => Deferred::succeed((poem, None)),
            })
            .add_both(move |result| {
                let elapsed = clock.now().saturating_sub(began);
                Ok(conclude(&task, peer, result, elapsed))
            })
    }

    /// The outcome of a fetch that was cancelled while it waited for its turn.
    fn never_begun(&self, index: usize, peer: Peer, failure: Failure) -> Outcome {
        conclude(&self.task(index), peer, Err(failure), Duration::ZERO)
    }

    fn task(&self, index: usize) -> Rc<Task> {
        Task::begin(
            &self.reactor,
            &self.limits,
            &self.reporter,
            self.worker,
            index as u64,
        )
    }

    fn watch(&self, index: usize, fetch: &Deferred<()>) {
        if !fetch.is_settled() {
            self.controls.borrow_mut().insert(index, fetch.control());
        }
    }

    fn end(&self, index: usize, outcome: Outcome) {
        self.controls.borrow_mut().remove(&index);
        self.outcomes.borrow_mut().push((index, outcome));
        if self.is_over() {
            // Before the reactor runs there is nothing to stop.
            let _ = self.reactor.stop();
        }
    }

    fn is_over(&self) -> bool {
        self.outcomes.borrow().len() == self.wanted
    }

    /// What passes a cancel from any thread on to the fetches here.
    fn canceller(self: &Rc<Self>) -> impl Fn(Target) + Send + Sync + 'static {
        let fetches = Rc::clone(self);
        let inlet = self.reactor.inlet(move |_, target| fetches.cancel(target));
        move |target| {
            // Once the reactor is gone, everything has ended.
            let _ = inlet.send(target);
        }
    }

    fn cancel(&self, target: Target) {
        let controls: Vec<Control> = match target {
            Target::All => self.controls.borrow().values().cloned().collect(),
            Target::Task(index) => self
                .controls
                .borrow()
                .get(&index)
                .cloned()
                .into_iter()
                .collect(),
        };
        // Without the borrow: a cancelled fetch ends here and now.
        controls.iter().for_each(Control::cancel);
    }
}

/// How a fetch ended; that it failed is said in an event too.
fn conclude(
    task: &Task,
    peer: Peer,
    result: Result<Transformed, Failure>,
    elapsed: Duration,
) -> Outcome {
    let (poem, transform_failure) = match result {
        Ok((poem, failure)) => (Ok(poem), failure),
        Err(failure) => {
            let failure = fetch_failure(failure);
            task.report(Kind::Failed(failure.clone()));
            (Err(FetchError::new(peer, failure)), None)
        }
    };
    Outcome {
        poem,
        transform_failure,
        bytes: task.received(),
        elapsed,
    }
}
