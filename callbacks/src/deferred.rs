//! A result that has not come yet, and what is to be done with it: Twisted's Deferred, typed.
//!
//! Making one gives two ends: the [`Trigger`] fires it, once; the [`Deferred`] collects callbacks. The machinery is in
//! `deferred/chain.rs`; what is built from Deferreds, in the other files of the folder.

use std::fmt;
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::time::Duration;

use poetry::panics;

use self::chain::{Canceller, Chain, Next, Settled, Step};
use crate::failure::{Cancelled, Failure, Panicked, TimedOut};
use crate::timers::Clock;

pub(crate) mod chain;
pub(crate) mod coroutine;
pub(crate) mod list;
pub(crate) mod queue;
pub(crate) mod semaphore;

/// A `T`, or a [`Failure`], that will come.
///
/// It is single-owner: what adds a callback takes the Deferred and gives back that of the callback's result. Results
/// travel as in Twisted (D1): an `Ok` to the next callback, a failure to the next errback, and what a handler returns
/// decides the side that follows. Handlers return a `Result`, or a `Deferred` to be waited for (D4). They run at once
/// if the result is there (D3), in the thread that fires otherwise.
///
/// ```
/// use callbacks::{Deferred, Failure};
///
/// let (trigger, poem) = Deferred::new();
/// let length = poem
///     .add_callback(|poem: String| Ok(poem.len()))
///     .add_errback(|_| Ok(0));
/// trigger.callback("Ahoy".to_owned());
/// assert_eq!(length.take_result().unwrap().unwrap(), 4);
/// ```
///
/// However many callbacks there are, or Deferreds that wait for each other, they need no stack (D9):
///
/// ```
/// use callbacks::Deferred;
///
/// let (trigger, mut count) = Deferred::new();
/// for _ in 0..100_000 {
///     let inner = count;
///     count = Deferred::succeed(()).add_callback(move |()| inner).add_callback(|count| Ok(count + 1));
/// }
/// trigger.callback(0);
/// assert_eq!(count.take_result().unwrap().unwrap(), 100_000);
/// ```
#[must_use = "a Deferred that is dropped with a failure reports it"]
pub struct Deferred<T> {
    chain: Rc<Chain>,
    types: PhantomData<fn() -> T>,
}

/// Fires one [`Deferred`]. Firing takes it, so that firing twice cannot be written (D2):
///
/// ```compile_fail,E0382
/// let (trigger, deferred) = callbacks::Deferred::new();
/// trigger.callback(1);
/// trigger.callback(2);
/// # drop(deferred);
/// ```
///
/// Dropped unfired, it fails its Deferred with [`Abandoned`](crate::Abandoned): nobody waits for ever. As that is nobody's
/// failure, it is not reported when nobody handles it (D8).
#[must_use = "a Deferred whose trigger is dropped fails"]
pub struct Trigger<T> {
    chain: Rc<Chain>,
    types: PhantomData<fn(T)>,
}

/// What handlers return: a `Result`, or a `Deferred` that will have one.
pub trait Outcome {
    /// What the next callback gets.
    type Value: 'static;

    #[doc(hidden)]
    fn into_next(self) -> Next;
}

impl<T: 'static> Outcome for Result<T, Failure> {
    type Value = T;

    fn into_next(self) -> Next {
        Next::Settled(erase(self))
    }
}

impl<T: 'static> Outcome for Deferred<T> {
    type Value = T;

    fn into_next(self) -> Next {
        Next::Wait(self.chain)
    }
}

impl<T: 'static> Deferred<T> {
    /// One that has not fired, with what fires it. Cancelled, it fails with [`Cancelled`].
    pub fn new() -> (Trigger<T>, Self) {
        Self::ends(Canceller::None)
    }

    /// One whose work can be stopped. `canceller` is called when it is cancelled before it fired, at most once; what
    /// it returns is the result, and so is what it fires; otherwise the Deferred fails with [`Cancelled`] (D6).
    ///
    /// ```
    /// use callbacks::Deferred;
    ///
    /// let (_trigger, poem) = Deferred::with_canceller(|| Some(Ok("what there was of it")));
    /// poem.cancel();
    /// assert_eq!(poem.take_result().unwrap().unwrap(), "what there was of it");
    /// ```
    pub fn with_canceller(
        canceller: impl FnOnce() -> Option<Result<T, Failure>> + 'static,
    ) -> (Trigger<T>, Self) {
        Self::ends(Canceller::Once(Box::new(move || canceller().map(erase))))
    }

    fn ends(canceller: Canceller) -> (Trigger<T>, Self) {
        let chain = Chain::new(canceller);
        let trigger = Trigger {
            chain: Rc::clone(&chain),
            types: PhantomData,
        };
        (trigger, Self::of(chain))
    }

    fn of(chain: Rc<Chain>) -> Self {
        Self {
            chain,
            types: PhantomData,
        }
    }

    /// One that has `value` already (D14).
    pub fn succeed(value: T) -> Self {
        Self::of(Chain::settled(erase(Ok(value))))
    }

    /// One that has failed already (D14).
    pub fn fail(failure: impl Into<Failure>) -> Self {
        Self::of(Chain::settled(Err(failure.into())))
    }

    /// `callback` gets the value and decides what follows; a failure passes by. It runs at once if the value is there
    /// (D3). What follows may be another Deferred: then what is added behind waits for that one (D4).
    ///
    /// ```
    /// use callbacks::Deferred;
    ///
    /// let (trigger, poem) = Deferred::<&str>::new();
    /// let (arrives, transformed) = Deferred::<String>::new();
    /// let length = poem
    ///     .add_callback(move |_| transformed)
    ///     .add_callback(|transformed| Ok(transformed.len()));
    /// trigger.callback("Ahoy");
    /// assert!(!length.is_settled());
    /// arrives.callback("ahoy!".to_owned());
    /// assert_eq!(length.take_result().unwrap().unwrap(), 5);
    /// ```
    pub fn add_callback<O: Outcome>(
        self,
        callback: impl FnOnce(T) -> O + 'static,
    ) -> Deferred<O::Value> {
        self.step(move |settled| match settled {
            Ok(value) => callback(restore(value)).into_next(),
            Err(failure) => Next::Settled(Err(failure)),
        })
    }

    /// `errback` gets the failure and decides what follows; a value passes by.
    pub fn add_errback<O: Outcome<Value = T>>(
        self,
        errback: impl FnOnce(Failure) -> O + 'static,
    ) -> Self {
        self.step(move |settled| match settled {
            Ok(value) => Next::Settled(Ok(value)),
            Err(failure) => errback(failure).into_next(),
        })
    }

    /// One of the two gets the result; `errback` does not see the failure of `callback` (D1).
    ///
    /// ```
    /// use callbacks::{Deferred, Failure};
    ///
    /// let poem = Deferred::succeed("").add_callbacks(
    ///     |_| Err::<(), _>(Failure::message("an empty poem")),
    ///     |_| Ok(()),
    /// );
    /// assert_eq!(poem.take_result().unwrap().unwrap_err().to_string(), "an empty poem");
    /// ```
    pub fn add_callbacks<C: Outcome, E: Outcome<Value = C::Value>>(
        self,
        callback: impl FnOnce(T) -> C + 'static,
        errback: impl FnOnce(Failure) -> E + 'static,
    ) -> Deferred<C::Value> {
        self.step(move |settled| match settled {
            Ok(value) => callback(restore(value)).into_next(),
            Err(failure) => errback(failure).into_next(),
        })
    }

    /// `both` gets the result, whichever side it comes down.
    pub fn add_both<O: Outcome>(
        self,
        both: impl FnOnce(Result<T, Failure>) -> O + 'static,
    ) -> Deferred<O::Value> {
        self.step(move |settled| both(settled.map(restore)).into_next())
    }

    /// Fails with [`TimedOut`] unless what has been added so far is through within `time` of now (D7). It is
    /// cancelled then; a cancel by anybody else stays [`Cancelled`].
    ///
    /// ```
    /// use callbacks::{Clock, Deferred, TimedOut};
    /// use std::time::Duration;
    ///
    /// let clock = Clock::new();
    /// let (_trigger, poem) = Deferred::<String>::new();
    /// let poem = poem.timeout(Duration::from_secs(1), &clock);
    /// clock.advance(Duration::from_secs(1));
    /// assert!(poem.take_result().unwrap().unwrap_err().is::<TimedOut>());
    /// ```
    pub fn timeout(self, time: Duration, clock: &Clock) -> Self {
        let expired = Rc::new(std::cell::Cell::new(false));
        let (chain, expires) = (Rc::downgrade(&self.chain), Rc::clone(&expired));
        let call = clock.call_later(time, move || {
            if let Some(chain) = chain.upgrade() {
                expires.set(true);
                chain.cancel();
            }
        });
        self.add_both(move |result| {
            // It may be the call itself that brings this result.
            let _ = call.cancel();
            match result {
                Err(failure) if expired.get() && failure.is::<Cancelled>() => Err(TimedOut.into()),
                result => result,
            }
        })
    }

    /// The result is not wanted any more: see [`with_canceller`](Self::with_canceller). Fired already, nothing
    /// happens; waiting for an inner Deferred, that one is cancelled (D6).
    ///
    /// ```
    /// use callbacks::{Cancelled, Deferred};
    ///
    /// let (trigger, poem) = Deferred::<String>::new();
    /// poem.cancel();
    /// assert!(trigger.is_cancelled());
    /// trigger.callback("nobody hears of this".to_owned());
    /// assert!(poem.take_result().unwrap().unwrap_err().is::<Cancelled>());
    /// ```
    pub fn cancel(&self) {
        self.chain.cancel();
    }

    /// Holds the result here until as many [`unpause`](Self::unpause) have come as pauses (D5).
    ///
    /// ```
    /// use callbacks::{Deferred, NotPaused};
    ///
    /// let poem = Deferred::succeed("Ahoy");
    /// poem.pause();
    /// let poem = poem.add_callback(|poem| Ok(poem.len()));
    /// assert!(!poem.is_settled());
    /// poem.unpause()?;
    /// assert_eq!(poem.unpause(), Err(NotPaused));
    /// assert_eq!(poem.take_result().unwrap().unwrap(), 4);
    /// # Ok::<(), NotPaused>(())
    /// ```
    pub fn pause(&self) {
        self.chain.pause();
    }

    /// Ends one pause.
    ///
    /// # Errors
    /// It was not paused.
    pub fn unpause(&self) -> Result<(), NotPaused> {
        self.chain.unpause().then_some(()).ok_or(NotPaused)
    }

    /// For whoever wants to cancel or pause it after it has been handed on.
    ///
    /// ```
    /// use callbacks::{Cancelled, Deferred};
    ///
    /// let (_trigger, poem) = Deferred::<()>::new();
    /// let control = poem.control();
    /// let handed_on = poem.add_callback(|()| Ok("Ahoy"));
    /// control.cancel();
    /// assert!(handed_on.take_result().unwrap().unwrap_err().is::<Cancelled>());
    /// ```
    pub fn control(&self) -> Control {
        Control {
            chain: Rc::clone(&self.chain),
        }
    }

    pub(crate) fn weak_control(&self) -> WeakControl {
        WeakControl(Rc::downgrade(&self.chain))
    }

    /// Whether a result, or a cancel, has come; it may still be on its way through the callbacks.
    pub fn has_fired(&self) -> bool {
        self.chain.is_fired()
    }

    /// Whether there is a result that has been through all callbacks.
    pub fn is_settled(&self) -> bool {
        self.chain.is_settled()
    }

    /// The result, if it has been through all callbacks.
    ///
    /// # Errors
    /// The Deferred itself, if it has not.
    pub fn take_result(self) -> Result<Result<T, Failure>, Self> {
        match self.chain.take() {
            Some(settled) => Ok(settled.map(restore)),
            None => Err(self),
        }
    }

    fn step<U: 'static>(self, call: impl FnOnce(Settled) -> Next + 'static) -> Deferred<U> {
        self.chain.push(Step::Call(Box::new(call)));
        Deferred::of(self.chain)
    }
}

impl<T: 'static> Trigger<T> {
    /// The result is `value`: runs the callbacks there are.
    pub fn callback(self, value: T) {
        self.fire(Ok(value));
    }

    /// There will be no value: runs the errbacks there are.
    pub fn errback(self, failure: impl Into<Failure>) {
        self.fire(Err(failure.into()));
    }

    /// The one or the other.
    pub fn fire(self, result: Result<T, Failure>) {
        self.chain.fire(erase(result));
    }

    /// Whether the Deferred was cancelled, so that firing it has no effect.
    pub fn is_cancelled(&self) -> bool {
        self.chain.is_cancelled()
    }
}

impl<T> Trigger<T> {
    /// Leaves the Deferred waiting for ever.
    pub(crate) fn never(mut self) {
        self.chain = Chain::new(Canceller::None);
        self.chain.forget();
    }
}

impl<T> Drop for Trigger<T> {
    fn drop(&mut self) {
        if !self.chain.is_fired() {
            chain::abandon(Rc::clone(&self.chain));
        }
    }
}

/// Cancels or pauses a [`Deferred`] that somebody else holds.
#[derive(Clone)]
pub struct Control {
    chain: Rc<Chain>,
}

impl Control {
    /// As [`Deferred::cancel`].
    pub fn cancel(&self) {
        self.chain.cancel();
    }

    /// As [`Deferred::pause`].
    pub fn pause(&self) {
        self.chain.pause();
    }

    /// As [`Deferred::unpause`].
    ///
    /// # Errors
    /// It was not paused.
    pub fn unpause(&self) -> Result<(), NotPaused> {
        self.chain.unpause().then_some(()).ok_or(NotPaused)
    }
}

/// A [`Control`] for those who must not keep the Deferred alive: members that know each other.
pub(crate) struct WeakControl(Weak<Chain>);

impl WeakControl {
    pub(crate) fn cancel(&self) {
        if let Some(chain) = self.0.upgrade() {
            chain.cancel();
        }
    }
}

/// `unpause` without a pause (D5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Deferred is not paused")]
pub struct NotPaused;

/// Calls `function` and makes what it returns a Deferred, whatever it is; a panic in it is a failure (D14).
///
/// ```
/// use callbacks::{Failure, maybe_deferred};
///
/// let found = maybe_deferred(|| Ok("Ahoy".to_owned()));
/// assert_eq!(found.take_result().unwrap().unwrap(), "Ahoy");
/// let failed = maybe_deferred(|| -> Result<(), Failure> { panic!("no poem") });
/// assert_eq!(failed.take_result().unwrap().unwrap_err().to_string(), "a callback panicked: no poem");
/// ```
pub fn maybe_deferred<O: Outcome>(function: impl FnOnce() -> O) -> Deferred<O::Value> {
    match panics::contain(function).map(O::into_next) {
        Ok(Next::Settled(settled)) => Deferred::of(Chain::settled(settled)),
        Ok(Next::Wait(chain)) => Deferred::of(chain),
        Err(message) => Deferred::fail(Panicked(message)),
    }
}

fn erase<T: 'static>(result: Result<T, Failure>) -> Settled {
    match result {
        Ok(value) => Ok(Box::new(value)),
        Err(failure) => Err(failure),
    }
}

fn restore<T: 'static>(value: chain::Value) -> T {
    match value.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("a Deferred<T> carries a T"),
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Deferred")
            .field("fired", &self.chain.is_fired())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Trigger<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Trigger").finish_non_exhaustive()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Control").finish_non_exhaustive()
    }
}
