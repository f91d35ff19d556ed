//! Many Deferreds as one: `DeferredList`, and its simpler relatives (D10, D11).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::{Deferred, Trigger, WeakControl};
use crate::failure::Failure;

/// Waits for any number of Deferreds; how is said by the method that makes the one they become.
///
/// ```
/// use callbacks::{Deferred, DeferredList, Failure};
///
/// let poems = vec![Deferred::succeed("Ahoy"), Deferred::fail(Failure::message("no poem"))];
/// let all = DeferredList::new(poems).consume_errors().all();
/// let results = all.take_result().unwrap().unwrap();
/// assert_eq!(*results[0].as_ref().unwrap(), "Ahoy");
/// assert_eq!(results[1].as_ref().unwrap_err().to_string(), "no poem");
/// ```
#[derive(Debug)]
#[must_use = "nothing waits until one of its methods is called"]
pub struct DeferredList<T> {
    members: Vec<Deferred<T>>,
    consume_errors: bool,
}

/// The first failure of several Deferreds, and whose it was.
#[derive(Debug)]
pub struct FirstError {
    /// Which member failed, from 0.
    pub index: usize,
    /// Its failure.
    pub failure: Failure,
}

impl fmt::Display for FirstError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "number {} failed: {}", self.index, self.failure)
    }
}

impl std::error::Error for FirstError {}

impl<T: 'static> DeferredList<T> {
    /// Of `members`, in this order.
    pub fn new(members: Vec<Deferred<T>>) -> Self {
        Self {
            members,
            consume_errors: false,
        }
    }

    /// Failures of members that are not part of the result are handled by being ignored, and not reported (D8).
    pub fn consume_errors(mut self) -> Self {
        self.consume_errors = true;
        self
    }

    /// Every result, in index order, once all have come; at once if there are none. It never fails but by a cancel,
    /// and that cancels every member (D10).
    pub fn all(self) -> Deferred<Vec<Result<T, Failure>>> {
        let (gathering, whole) = Gathering::begin(&self.members);
        if self.members.is_empty() {
            fire(&gathering.trigger, Ok(Vec::new()));
        }
        for (index, member) in self.members.into_iter().enumerate() {
            let gathering = Rc::clone(&gathering);
            drop(member.add_both(move |result| {
                if let Some(results) = gathering.take_in(index, result) {
                    fire(&gathering.trigger, Ok(results));
                }
                Ok(())
            }));
        }
        whole
    }

    /// The first value, and its index (Twisted's `fireOnOneCallback`). Without members it never fires; when all have
    /// failed it is [`Abandoned`](crate::Abandoned), as every Deferred that nobody can fire any more.
    ///
    /// ```
    /// use callbacks::{Deferred, DeferredList};
    ///
    /// let (slow, one) = Deferred::new();
    /// let first = DeferredList::new(vec![one, Deferred::succeed("fast")]).fire_on_one_callback();
    /// assert_eq!(first.take_result().unwrap().unwrap(), ("fast", 1));
    /// slow.callback("too late for the list");
    /// ```
    pub fn fire_on_one_callback(self) -> Deferred<(T, usize)> {
        let (trigger, winner) = together(&self.members);
        if self.members.is_empty() {
            trigger.take().into_iter().for_each(Trigger::never);
        }
        let consume = self.consume_errors;
        for (index, member) in self.members.into_iter().enumerate() {
            let trigger = Rc::clone(&trigger);
            drop(member.add_both(move |result| {
                match result {
                    Ok(value) => {
                        fire(&trigger, Ok((value, index)));
                    }
                    Err(failure) if !consume => return Err(failure),
                    Err(_) => {}
                }
                Ok(())
            }));
        }
        winner
    }

    /// All values in index order, or the [`FirstError`] as soon as one fails (Twisted's `fireOnOneErrback`).
    pub fn fire_on_one_errback(self) -> Deferred<Vec<T>> {
        let (gathering, whole) = Gathering::begin(&self.members);
        if self.members.is_empty() {
            fire(&gathering.trigger, Ok(Vec::new()));
        }
        let consume = self.consume_errors;
        for (index, member) in self.members.into_iter().enumerate() {
            let gathering = Rc::clone(&gathering);
            drop(member.add_both(move |result| match result {
                Ok(value) => {
                    if let Some(values) = gathering.take_in(index, value) {
                        fire(&gathering.trigger, Ok(values));
                    }
                    Ok(())
                }
                Err(failure) => match fail_first(&gathering.trigger, index, failure) {
                    Some(late) if !consume => Err(late),
                    _ => Ok(()),
                },
            }));
        }
        whole
    }
}

/// All values in index order, or the [`FirstError`]; later failures are ignored (D11).
///
/// ```
/// use callbacks::{Deferred, Failure, gather_results};
///
/// let poems = gather_results(vec![Deferred::succeed("Ahoy"), Deferred::succeed("there")]);
/// assert_eq!(poems.take_result().unwrap().unwrap(), ["Ahoy", "there"]);
/// let failed = gather_results(vec![Deferred::<()>::fail(Failure::message("no poem"))]);
/// assert_eq!(failed.take_result().unwrap().unwrap_err().to_string(), "number 0 failed: no poem");
/// ```
pub fn gather_results<T: 'static>(members: Vec<Deferred<T>>) -> Deferred<Vec<T>> {
    DeferredList::new(members)
        .consume_errors()
        .fire_on_one_errback()
}

/// The first value and its index; the other members are then cancelled. When all have failed, the failures in index
/// order, as [`AllFailed`] (D11).
///
/// ```
/// use callbacks::{Deferred, race};
///
/// let (slow, loses) = Deferred::new();
/// let winner = race(vec![loses, Deferred::succeed("fast")]);
/// assert_eq!(winner.take_result().unwrap().unwrap(), ("fast", 1));
/// assert!(slow.is_cancelled());
/// ```
pub fn race<T: 'static>(members: Vec<Deferred<T>>) -> Deferred<(T, usize)> {
    let losers: Rc<[WeakControl]> = members.iter().map(Deferred::weak_control).collect();
    let (trigger, winner) = together(&members);
    let failures = Rc::new(Gathering::of(members.len(), ()));
    if members.is_empty() {
        fire(&trigger, Err(AllFailed(Vec::new()).into()));
    }
    for (index, member) in members.into_iter().enumerate() {
        let (trigger, failures) = (Rc::clone(&trigger), Rc::clone(&failures));
        let losers = Rc::clone(&losers);
        drop(member.add_both(move |result| {
            match result {
                Ok(value) => {
                    if fire(&trigger, Ok((value, index))) {
                        losers.iter().for_each(WeakControl::cancel);
                    }
                }
                Err(failure) => {
                    if let Some(failures) = failures.take_in(index, failure) {
                        fire(&trigger, Err(AllFailed(failures).into()));
                    }
                }
            }
            Ok(())
        }));
    }
    winner
}

/// Nobody won the [`race`].
#[derive(Debug)]
pub struct AllFailed(
    /// Why, in index order.
    pub Vec<Failure>,
);

impl fmt::Display for AllFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "all {} failed", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|failure| write!(out, "; {failure}"))
    }
}

impl std::error::Error for AllFailed {}

type SharedTrigger<U> = Rc<Cell<Option<Trigger<U>>>>;

/// A Deferred whose cancel cancels every one of `members`.
fn together<T: 'static, U: 'static>(members: &[Deferred<T>]) -> (SharedTrigger<U>, Deferred<U>) {
    let controls: Vec<WeakControl> = members.iter().map(Deferred::weak_control).collect();
    let (trigger, whole) = Deferred::with_canceller(move || {
        controls.iter().for_each(WeakControl::cancel);
        None
    });
    (Rc::new(Cell::new(Some(trigger))), whole)
}

/// Fires if nobody has before; says whether that was so.
fn fire<U: 'static>(trigger: &Cell<Option<Trigger<U>>>, result: Result<U, Failure>) -> bool {
    let trigger = trigger.take();
    let first = trigger.is_some();
    if let Some(trigger) = trigger {
        trigger.fire(result);
    }
    first
}

/// Fires with this as the first failure; gives it back if it is not.
fn fail_first<U: 'static>(
    trigger: &Cell<Option<Trigger<U>>>,
    index: usize,
    failure: Failure,
) -> Option<Failure> {
    match trigger.take() {
        Some(trigger) => {
            trigger.errback(FirstError { index, failure });
            None
        }
        None => Some(failure),
    }
}

/// Results by index, until none is missing.
struct Gathering<R, G> {
    results: RefCell<(Vec<Option<R>>, usize)>,
    trigger: G,
}

impl<R: 'static> Gathering<R, SharedTrigger<Vec<R>>> {
    fn begin<T: 'static>(members: &[Deferred<T>]) -> (Rc<Self>, Deferred<Vec<R>>) {
        let (trigger, whole) = together(members);
        (Rc::new(Self::of(members.len(), trigger)), whole)
    }
}

impl<R, G> Gathering<R, G> {
    fn of(count: usize, trigger: G) -> Self {
        Self {
            results: RefCell::new(((0..count).map(|_| None).collect(), count)),
            trigger,
        }
    }

    /// All of them, if `result` was the last that was missing.
    fn take_in(&self, index: usize, result: R) -> Option<Vec<R>> {
        let (results, missing) = &mut *self.results.borrow_mut();
        results[index] = Some(result);
        *missing -= 1;
        (*missing == 0).then(|| std::mem::take(results).into_iter().flatten().collect())
    }
}
