//! The fetches of one reactor: each a chain of Deferreds, from its turn to its outcome, and what can still be cancelled.
//! Who begins them, and how many at a time, is said in `fetching.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use poetry::cancel::Target;
use poetry::{FetchError, Kind, Outcome};

use super::Share;
use crate::deferred::semaphore::DeferredSemaphore;
use crate::deferred::{Control, Deferred};
use crate::failure::{Cancelled, Failure};
use crate::log;
use crate::poem_client::get_poetry;
use crate::reactor::Reactor;
use crate::task::{Task, fetch_failure};
use crate::transform_client::{Transformed, transform_or_keep};

/// The fetches of one reactor. A place is where a request stands in its share; an index, where in the whole fetch.
pub(super) struct Fetches {
    pub(super) share: Share,
    limits: Rc<poetry::Limits>,
    pub(super) turns: DeferredSemaphore,
    pub(super) reactor: Reactor,
    /// By place, as far as they have come: memory is touched when there is something to keep.
    outcomes: RefCell<Vec<Option<Outcome>>>,
    /// Outcomes that are still to come.
    missing: Cell<usize>,
    /// What can still be cancelled, by place.
    controls: RefCell<Vec<Option<Control>>>,
}

impl Fetches {
    pub(super) fn new(reactor: &Reactor, share: Share) -> Rc<Self> {
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
    pub(super) fn fetch(self: Rc<Self>, place: usize) -> Deferred<Outcome> {
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
                // An observer that panics must not keep the others waiting for this one.
                log::contained(|| task.report(Kind::Failed(failure.clone())));
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
    pub(super) fn watch(&self, place: usize, fetch: &Deferred<()>) {
        if !fetch.is_settled() {
            self.controls.borrow_mut()[place] = Some(fetch.control());
        }
    }

    /// A fetch has its outcome, or was cancelled while it waited for its turn.
    pub(super) fn end(&self, place: usize, result: Result<Outcome, Failure>) {
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

    /// The outcomes, by place, once it is over.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.take().into_iter().flatten().collect()
    }

    /// Whether every fetch has its outcome.
    pub(super) fn is_over(&self) -> bool {
        self.missing.get() == 0
    }

    /// What passes a cancel from any thread on to the fetches here.
    pub(super) fn canceller(self: &Rc<Self>) -> impl Fn(Target) + Send + Sync + 'static {
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
