//! Many Deferreds as one: `DeferredList`, `gather_results` and `race` (D10, D11).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::{Deferred, Trigger, WeakControl};
use crate::failure::Failure;

/// Waits for any number of Deferreds. Its methods make them one Deferred.
///
/// A failure has one owner: the list's result takes it from the member, so it is reported (D8) only if that result is
/// dropped. (In Twisted the member keeps it and reports it too, unless errors are consumed.)
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
#[must_use = "a list does nothing until one of its methods is called"]
pub struct DeferredList<T> {
    members: Vec<Deferred<T>>,
    consume_errors: bool,
}

/// The first failure of several Deferreds, and the index of its member.
#[derive(Debug)]
pub struct FirstError {
    /// The index of the member, from 0.
    pub index: usize,
    /// The member's failure.
    pub failure: Failure,
}

impl fmt::Display for FirstError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "member {} failed: {}", self.index, self.failure)
    }
}

impl std::error::Error for FirstError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.failure.error())
    }
}

impl<T: 'static> DeferredList<T> {
    /// Creates a list of `members`.
    pub fn new(members: Vec<Deferred<T>>) -> Self {
        Self {
            members,
            consume_errors: false,
        }
    }

    /// Ignores failures of members that are not part of the result, instead of reporting them (D8).
    pub fn consume_errors(mut self) -> Self {
        self.consume_errors = true;
        self
    }

    // ANCHOR: all_results
    /// Fires with every result, in index order, once all have come; at once if there are no members. It fails only if it is
    /// cancelled, which cancels every member (D10); it then always ends, even if members do not.
    pub fn all(self) -> Deferred<Vec<Result<T, Failure>>> {
        let leftovers: fn(Vec<Result<T, Failure>>) = match self.consume_errors {
            true => drop,
            false => |results| results.into_iter().filter_map(Result::err).for_each(report),
        };
        let (gathering, whole) = Gathering::begin(&self.members, leftovers);
        if self.members.is_empty() {
            fire(&gathering.trigger, Ok(Vec::new()));
        }
        for (index, member) in self.members.into_iter().enumerate() {
            let gathering = Rc::clone(&gathering);
            drop(member.add_both(move |result| {
                if let Some(results) = gathering.add(index, result) {
                    fire(&gathering.trigger, Ok(results));
                }
                Ok(())
            }));
        }
        whole
    }
    // ANCHOR_END: all_results

    /// Fires with the first value and its index (Twisted's `fireOnOneCallback`). Without members it never fires. It fails
    /// with [`AllFailed`] when all members have failed. (Twisted then fires with the list of the failures.)
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
        let (trigger, winner) = cancelling_all(&self.members);
        if self.members.is_empty() {
            trigger.take().into_iter().for_each(Trigger::never);
        }
        let consume = self.consume_errors;
        let leftovers: fn(Vec<Failure>) = match consume {
            true => drop,
            false => |failures| failures.into_iter().for_each(report),
        };
        let failures = Rc::new(Gathering::of(self.members.len(), (), leftovers));
        for (index, member) in self.members.into_iter().enumerate() {
            let (trigger, failures) = (Rc::clone(&trigger), Rc::clone(&failures));
            drop(member.add_both(move |result| {
                match result {
                    Ok(value) => {
                        if fire(&trigger, Ok((value, index))) && !consume {
                            failures.take().into_iter().for_each(report);
                        }
                    }
                    Err(late) if has_fired(&trigger) && !consume => return Err(late),
                    Err(failure) => {
                        if let Some(failures) = failures.add(index, failure) {
                            fire(&trigger, Err(AllFailed(failures).into()));
                        }
                    }
                }
                Ok(())
            }));
        }
        winner
    }

    /// Fires with all values in index order, or fails with the [`FirstError`] as soon as a member fails (Twisted's
    /// `fireOnOneErrback`).
    pub fn fire_on_one_errback(self) -> Deferred<Vec<T>> {
        let (gathering, whole) = Gathering::begin(&self.members, drop);
        if self.members.is_empty() {
            fire(&gathering.trigger, Ok(Vec::new()));
        }
        let consume = self.consume_errors;
        for (index, member) in self.members.into_iter().enumerate() {
            let gathering = Rc::clone(&gathering);
            drop(member.add_both(move |result| match result {
                Ok(value) => {
                    if let Some(values) = gathering.add(index, value) {
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

/// Fires with all values in index order, or fails with the [`FirstError`]. Later failures are ignored (D11).
///
/// ```
/// use callbacks::{Deferred, Failure, gather_results};
///
/// let poems = gather_results(vec![Deferred::succeed("Ahoy"), Deferred::succeed("there")]);
/// assert_eq!(poems.take_result().unwrap().unwrap(), ["Ahoy", "there"]);
/// let failed = gather_results(vec![Deferred::<()>::fail(Failure::message("no poem"))]);
/// assert_eq!(failed.take_result().unwrap().unwrap_err().to_string(), "member 0 failed: no poem");
/// ```
pub fn gather_results<T: 'static>(members: Vec<Deferred<T>>) -> Deferred<Vec<T>> {
    DeferredList::new(members)
        .consume_errors()
        .fire_on_one_errback()
}

/// Cancels all members but the first that succeeds, and fires with its index and value. Fails with [`AllFailed`], the
/// failures in index order, when all have failed; at once if there are no members (D11).
///
/// ```
/// use callbacks::{Deferred, race};
///
/// let (slow, loses) = Deferred::new();
/// let winner = race(vec![loses, Deferred::succeed("fast")]);
/// assert_eq!(winner.take_result().unwrap().unwrap(), (1, "fast"));
/// assert!(slow.is_cancelled());
/// ```
// ANCHOR: race
pub fn race<T: 'static>(members: Vec<Deferred<T>>) -> Deferred<(usize, T)> {
    let losers: Rc<[WeakControl]> = members.iter().map(Deferred::weak_control).collect();
    let (trigger, winner) = cancelling_all(&members);
    let failures = Rc::new(Gathering::of(members.len(), (), drop));
    if members.is_empty() {
        fire(&trigger, Err(AllFailed(Vec::new()).into()));
    }
    for (index, member) in members.into_iter().enumerate() {
        let (trigger, failures) = (Rc::clone(&trigger), Rc::clone(&failures));
        let losers = Rc::clone(&losers);
        drop(member.add_both(move |result| {
            match result {
                Ok(value) => {
                    if let Some(trigger) = trigger.take() {
                        // Before the winner's callbacks, as in Twisted. The winner itself has fired.
                        losers.iter().for_each(WeakControl::cancel);
                        trigger.callback((index, value));
                    }
                }
                Err(failure) => {
                    if let Some(failures) = failures.add(index, failure) {
                        fire(&trigger, Err(AllFailed(failures).into()));
                    }
                }
            }
            Ok(())
        }));
    }
    winner
}
// ANCHOR_END: race

/// Every member of a [`race`], or of [`DeferredList::fire_on_one_callback`], failed.
#[derive(Debug)]
pub struct AllFailed(
    /// The failures in index order.
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

/// Creates a Deferred that cancels all `members` when it is cancelled.
fn cancelling_all<T: 'static, U: 'static>(
    members: &[Deferred<T>],
) -> (SharedTrigger<U>, Deferred<U>) {
    let controls: Vec<WeakControl> = members.iter().map(Deferred::weak_control).collect();
    let (trigger, whole) = Deferred::with_canceller(move || {
        controls.iter().for_each(WeakControl::cancel);
        None
    });
    (Rc::new(Cell::new(Some(trigger))), whole)
}

/// Fires unless the trigger has been used. Returns whether it fired.
fn fire<U: 'static>(trigger: &Cell<Option<Trigger<U>>>, result: Result<U, Failure>) -> bool {
    let trigger = trigger.take();
    let first = trigger.is_some();
    if let Some(trigger) = trigger {
        trigger.fire(result);
    }
    first
}

/// Returns whether the trigger has been used.
fn has_fired<U: 'static>(trigger: &Cell<Option<Trigger<U>>>) -> bool {
    let unused = trigger.take();
    let fired = unused.is_none();
    trigger.set(unused);
    fired
}

/// Reports a failure that is not part of the result, as a dropped Deferred does (D8).
fn report(failure: Failure) {
    drop(Deferred::<()>::fail(failure));
}

/// Fires with `failure` as the first one. Returns it if the trigger has been used.
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

/// Collects results by index until all have come.
struct Gathering<R, G> {
    results: RefCell<(Vec<Option<R>>, usize)>,
    trigger: G,
    /// Takes the results that have come if the others never do, so that no failure is lost (D8).
    leftovers: fn(Vec<R>),
}

impl<R: 'static> Gathering<R, SharedTrigger<Vec<R>>> {
    fn begin<T: 'static>(
        members: &[Deferred<T>],
        leftovers: fn(Vec<R>),
    ) -> (Rc<Self>, Deferred<Vec<R>>) {
        let (trigger, whole) = cancelling_all(members);
        let gathering = Self::of(members.len(), trigger, leftovers);
        (Rc::new(gathering), whole)
    }
}

impl<R, G> Gathering<R, G> {
    fn of(count: usize, trigger: G, leftovers: fn(Vec<R>)) -> Self {
        Self {
            results: RefCell::new(((0..count).map(|_| None).collect(), count)),
            trigger,
            leftovers,
        }
    }

    /// Takes the results that have come so far; those that come later are dropped.
    fn take(&self) -> Vec<R> {
        let (results, _) = &mut *self.results.borrow_mut();
        std::mem::take(results).into_iter().flatten().collect()
    }

    // ANCHOR: add_result
    /// Adds a result. Returns all results if it was the last one.
    fn add(&self, index: usize, result: R) -> Option<Vec<R>> {
        let (results, missing) = &mut *self.results.borrow_mut();
        *results.get_mut(index)? = Some(result);
        *missing -= 1;
        (*missing == 0).then(|| std::mem::take(results).into_iter().flatten().collect())
    }
    // ANCHOR_END: add_result
}

impl<R, G> Drop for Gathering<R, G> {
    fn drop(&mut self) {
        let leftovers = self.take();
        (self.leftovers)(leftovers);
    }
}
