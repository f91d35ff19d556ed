//! The fetches of one reactor: each is a chain of Deferreds, from its place in the queue to its outcome, and can be
//! cancelled until then. `fetching.rs` begins them.

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
use crate::poem_client::{get_poetry_named_with, get_poetry_with};
use crate::reactor::Reactor;
use crate::task::{Task, fetch_failure};
use crate::transform_client::{Transformed, transform_or_keep_with};

/// The fetches of one reactor. A place is a request's position in its share; an index is its position in the whole fetch.
pub(super) struct Fetches {
    pub(super) share: Share,
    limits: Rc<poetry::Limits>,
    /// One for each fetch that may be under way.
    pub(super) slots: DeferredSemaphore,
    pub(super) reactor: Reactor,
    /// By place. Grows only when an outcome is kept, so that unused memory is not touched.
    outcomes: RefCell<Vec<Option<Outcome>>>,
    /// The number of fetches that have not ended.
    missing: Cell<usize>,
    /// The fetches that can still be cancelled, by place.
    controls: RefCell<Vec<Option<Control>>>,
}

impl Fetches {
    pub(super) fn new(reactor: &Reactor, share: Share) -> Rc<Self> {
        let wanted = share.requests.len();
        Rc::new(Self {
            limits: Rc::new(share.limits.clone()),
            slots: DeferredSemaphore::new(share.limits.fetches_max),
            reactor: reactor.clone(),
            outcomes: RefCell::new(Vec::with_capacity(wanted)),
            missing: Cell::new(wanted),
            controls: RefCell::new(vec![None; wanted]),
            share,
        })
    }

    // ANCHOR: then_transform
    /// Fetches one poem and, if requested, its transform. Fails only if the fetch was cancelled before it began.
    pub(super) fn fetch(self: Rc<Self>, place: usize) -> Deferred<Outcome> {
        let (index, request) = &self.share.requests[place];
        if self.share.cancel.is_cancelled(*index) {
            // The cancel has not reached this reactor yet.
            return Deferred::fail(Cancelled);
        }
        let task = self.task(*index);
        let began = self.share.reporter.clock().now();
        let (reactor, peer) = (&self.reactor, request.peer.clone());
        let poem = match &request.name {
            None => get_poetry_with(reactor, peer, &task),
            Some(name) => get_poetry_named_with(reactor, peer, name, &task),
        };
        match request.via.clone() {
            None => poem.add_both(move |poem| {
                let kept = poem.map(|poem| (poem, None));
                Ok(self.conclude(place, &task, kept, self.since(began)))
            }),
            Some(via) => {
                let (reactor, transforming) = (self.reactor.clone(), Rc::clone(&task));
                poem.add_callback(move |poem| {
                    transform_or_keep_with(&reactor, &via, poem, &transforming)
                })
                .add_both(move |result| Ok(self.conclude(place, &task, result, self.since(began))))
            }
        }
    }
    // ANCHOR_END: then_transform

    fn task(&self, index: usize) -> Rc<Task> {
        let Share {
            reporter, worker, ..
        } = &self.share;
        Task::begin(&self.reactor, &self.limits, reporter, *worker, index as u64)
    }

    fn since(&self, began: Duration) -> Duration {
        self.share.reporter.clock().now().saturating_sub(began)
    }

    /// Returns the outcome of a fetch that has ended; reports a failure as an event.
    fn conclude(
        &self,
        place: usize,
        task: &Task,
        result: Result<Transformed, Failure>,
        elapsed: Duration,
    ) -> Outcome {
        let (poem, transform_failure) = match result {
            Ok((poem, failure)) => (Ok(poem.into()), failure),
            Err(failure) => {
                let failure = fetch_failure(failure);
                // A panic of the observer must not keep this fetch from ending.
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

    /// Keeps the control of a fetch, unless it has ended already.
    pub(super) fn watch(&self, place: usize, fetch: &Deferred<()>) {
        if !fetch.is_settled() {
            self.controls.borrow_mut()[place] = Some(fetch.control());
        }
    }

    /// Ends a fetch: with its outcome, or with a failure if it was cancelled before it began.
    pub(super) fn end(&self, place: usize, result: Result<Outcome, Failure>) {
        let outcome = result.unwrap_or_else(|failure| {
            let (index, _) = self.share.requests[place];
            self.conclude(place, &self.task(index), Err(failure), Duration::ZERO)
        });
        // A statement of its own, so that the controls are not borrowed during the drop.
        let control = self.controls.borrow_mut()[place].take();
        drop(control);
        self.keep(place, outcome);
        self.missing.set(self.missing.get() - 1);
        if self.is_over() {
            // It fails if the reactor does not run yet.
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

    /// Returns the outcomes, by place, once all fetches have ended.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.take().into_iter().flatten().collect()
    }

    /// Returns whether every fetch has ended.
    pub(super) fn is_over(&self) -> bool {
        self.missing.get() == 0
    }

    // ANCHOR: cancel_fetches
    /// Returns a function that passes a cancel from any thread on to these fetches.
    pub(super) fn canceller(self: &Rc<Self>) -> impl Fn(Target) + Send + Sync + 'static {
        let fetches = Rc::clone(self);
        let inlet = self.reactor.inlet(move |_, target| fetches.cancel(target));
        move |target| {
            // It fails once the reactor is gone; every fetch has ended then.
            let _ = inlet.send(target);
        }
    }
    // ANCHOR_END: cancel_fetches

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
        // Without the borrow, because a cancelled fetch ends at once.
        controls.iter().for_each(Control::cancel);
    }
}
