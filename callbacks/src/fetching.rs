//! Clients behind the contract: all poems of a fetch at once, in one reactor of the calling thread, or shared out among
//! several.

use std::cell::{Cell, RefCell};
use std::io;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use poetry::cancel::Target;
use poetry::limits::FETCHES_MAX;
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Kind, Observer, Options, Outcome,
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
        let reactors = self.options.threads.get();
        let reactors = reactors.min(limits.fetches_max).min(requests.len()).max(1);
        let share = |worker| Share::new(worker, reactors, limits, &reporter, requests, cancel);
        let own = share(0);
        let others: Vec<_> = (1..reactors).map(share).collect();
        if others.is_empty() {
            return own.fetch();
        }
        in_turn(fetch_in_threads(own, others))
    }
}

/// Fetches its own share in this thread, and each of the others in one of its own.
fn fetch_in_threads(own: Share, others: Vec<Share>) -> Vec<Vec<Outcome>> {
    thread::scope(|scope| {
        let others: Vec<_> = others
            .into_iter()
            .map(|share| scope.spawn(move || share.fetch()))
            .collect();
        let own = own.fetch();
        // A thread cannot panic outside of callbacks; if one does, its poems are missed.
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_default());
        iter::once(own).chain(others).collect()
    })
}

/// One of each, again and again: as the requests were shared out.
fn in_turn(shares: Vec<Vec<Outcome>>) -> Vec<Outcome> {
    let wanted: usize = shares.iter().map(Vec::len).sum();
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let mut outcomes = Vec::with_capacity(wanted);
    while outcomes.len() < wanted {
        outcomes.extend(shares.iter_mut().filter_map(Iterator::next));
    }
    outcomes
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
                .enumerate()
                .skip(worker)
                .step_by(reactors)
                .map(|(index, request)| (index, request.clone()))
                .collect(),
            cancel: cancel.clone(),
        }
    }

    /// The outcomes, in the order of its requests.
    fn fetch(self) -> Vec<Outcome> {
        let reactor = match Reactor::open() {
            Ok(reactor) => reactor,
            Err(error) => return self.all_failed(&error),
        };
        fetch_all(&reactor, self)
    }

    /// The system had no descriptor for the reactor itself.
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
/// Fetches every poem of `share`, as many at once as its limits allow, and runs the reactor until all have ended.
fn fetch_all(reactor: &OpenReactor, share: Share) -> Vec<Outcome> {
    let fetches = Fetches::new(reactor, share);
    begin(&fetches, 0);
    let _subscription = fetches.share.cancel.subscribe(fetches.canceller());
    if !fetches.is_over() {
        // It cannot be running already: it was made for this.
        let _ = reactor.run();
    }
    fetches.outcomes.take().into_iter().flatten().collect()
}

/// Begins the fetches from `first` on, and leaves to the next turn what would make this one too long.
fn begin(fetches: &Rc<Fetches>, first: usize) {
    let wanted = fetches.share.requests.len();
    let next = wanted.min(first + BEGUN_PER_TURN);
    for place in first..next {
        let (begins, ends) = (Rc::clone(fetches), Rc::clone(fetches));
        let fetch = fetches
            .turns
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

/// Fetches begun in one turn. Dialling comes before reading: the last poem to be begun is the last to end, and what
/// arrives meanwhile waits in the kernel. It is also how long a turn may get: dialling as many as may be under way by
/// default takes 0.15 s or so, by which calls that are due may be late. A cancel is not: each fetch looks for it, and
/// the time to connect is counted from each connection's own beginning.
const BEGUN_PER_TURN: usize = FETCHES_MAX;

/// The fetches of one reactor. A place is where a request stands in its share; an index, where in the whole fetch.
struct Fetches {
    share: Share,
    limits: Rc<poetry::Limits>,
    turns: DeferredSemaphore,
    reactor: Reactor,
    /// By place, as far as they have come: memory is touched when there is something to keep.
    outcomes: RefCell<Vec<Option<Outcome>>>,
    /// Outcomes that are still to come.
    missing: Cell<usize>,
    /// What can still be cancelled, by place.
    controls: RefCell<Vec<Option<Control>>>,
}

impl Fetches {
    fn new(reactor: &Reactor, share: Share) -> Rc<Self> {
        let wanted = share.requests.len();
        Rc::new(Self {
            limits: Rc::new(share.limits.clone()),
            turns: DeferredSemaphore::new(share.limits.fetches_max),
            reactor: reactor.clone(),
            outcomes: RefCell::new(Vec::with_capacity(wanted)),
            missing: Cell::new(wanted),
            controls: RefCell::new(vec![None; wanted]),
            share,
        })
    }

    /// One poem, and its transform if there is to be one: that fails only if it was not begun.
    fn fetch(self: Rc<Self>, place: usize) -> Deferred<Outcome> {
        let (index, request) = &self.share.requests[place];
        if self.share.cancel.is_cancelled(*index) {
            // The word of it is still on its way here.
            return Deferred::fail(Cancelled);
        }
        let task = self.task(*index);
        let began = self.share.reporter.clock().now();
        let poem = get_poetry(&self.reactor, &request.peer, &task);
        match request.via.clone() {
            None => poem.add_both(move |poem| {
                let kept = poem.map(|poem| (poem, None));
                Ok(self.conclude(place, &task, kept, self.since(began)))
            }),
            Some(via) => {
                let (reactor, transforming) = (self.reactor.clone(), Rc::clone(&task));
                poem.add_callback(move |poem| {
                    transform_or_keep(&reactor, &via, poem, &transforming)
                })
                .add_both(move |result| Ok(self.conclude(place, &task, result, self.since(began))))
            }
        }
    }

    fn task(&self, index: usize) -> Rc<Task> {
        let Share {
            reporter, worker, ..
        } = &self.share;
        Task::begin(&self.reactor, &self.limits, reporter, *worker, index as u64)
    }

    fn since(&self, began: Duration) -> Duration {
        self.share.reporter.clock().now().saturating_sub(began)
    }

    /// How a fetch ended; that it failed is said in an event too.
    fn conclude(
        &self,
        place: usize,
        task: &Task,
        result: Result<Transformed, Failure>,
        elapsed: Duration,
    ) -> Outcome {
        let (poem, transform_failure) = match result {
            Ok((poem, failure)) => (Ok(poem), failure),
            Err(failure) => {
                let failure = fetch_failure(failure);
                task.report(Kind::Failed(failure.clone()));
                let (_, request) = &self.share.requests[place];
                (Err(FetchError::new(&request.peer, failure)), None)
            }
        };
        Outcome {
            poem,
            transform_failure,
            bytes: task.received(),
            elapsed,
        }
    }

    /// Notes how to cancel a fetch that has not ended on the spot.
    fn watch(&self, place: usize, fetch: &Deferred<()>) {
        if !fetch.is_settled() {
            self.controls.borrow_mut()[place] = Some(fetch.control());
        }
    }

    /// A fetch has its outcome, or was cancelled while it waited for its turn.
    fn end(&self, place: usize, result: Result<Outcome, Failure>) {
        let outcome = result.unwrap_or_else(|failure| {
            let (index, _) = self.share.requests[place];
            self.conclude(place, &self.task(index), Err(failure), Duration::ZERO)
        });
        // A statement of its own: what is dropped must find the controls free.
        let control = self.controls.borrow_mut()[place].take();
        drop(control);
        self.keep(place, outcome);
        self.missing.set(self.missing.get() - 1);
        if self.is_over() {
            // Before the reactor runs there is nothing to stop.
            let _ = self.reactor.stop();
        }
    }

    fn keep(&self, place: usize, outcome: Outcome) {
        let mut outcomes = self.outcomes.borrow_mut();
        if outcomes.len() <= place {
            outcomes.resize_with(place + 1, || None);
        }
        outcomes[place] = Some(outcome);
    }

    fn is_over(&self) -> bool {
        self.missing.get() == 0
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
        let controls: Vec<Control> = {
            let controls = self.controls.borrow();
            let cancelled = match target {
                Target::All => &controls[..],
                Target::Task(index) => {
                    let requests = &self.share.requests;
                    let place = requests.binary_search_by_key(&index, |(index, _)| *index);
                    place.map_or(&[][..], |place| &controls[place..=place])
                }
            };
            cancelled.iter().flatten().cloned().collect()
        };
        // Without the borrow: a cancelled fetch ends here and now.
        controls.iter().for_each(Control::cancel);
    }
}
