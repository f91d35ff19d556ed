//! A result that comes later, and the callbacks that take it: Twisted's Deferred, typed.
//!
//! [`Deferred::new`] returns two ends: the [`Trigger`] fires, once; the [`Deferred`] collects callbacks. The machinery is in
//! `deferred/chain.rs`. The other files build on Deferreds: lists, locks, queues and coroutines.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use self::chain::{Canceller, Chain, Next, Settled, Step};
use self::ends::WeakControl;
use self::outcome::{erase, restore};
use crate::failure::{Cancelled, Failure, TimedOut};
use crate::timers::Clock;

pub(crate) mod chain;
pub(crate) mod coroutine;
mod ends;
pub(crate) mod list;
mod outcome;
pub(crate) mod queue;
pub(crate) mod semaphore;
mod teardown;

pub use ends::{Control, NotPaused, Trigger};
pub use outcome::{Outcome, maybe_deferred};

/// A value or a [`Failure`] that comes later.
///
/// A Deferred has one owner: adding a callback consumes it and returns the Deferred of the callback's result. Results
/// travel as in Twisted (D1): an `Ok` goes to the next callback, a failure to the next errback, and the handler's return
/// value decides which side follows. A handler returns a `Result`, or a `Deferred` to wait for (D4); see [`Outcome`].
/// Handlers run at once if the result is there (D3), otherwise in the call that fires.
///
/// Dropping a Deferred does not cancel it: its handlers still run when it fires, and a failure that none of them takes is
/// reported (D8).
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
/// Chains of any length run in constant stack (D9):
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

impl<T: 'static> Deferred<T> {
    /// Creates a Deferred that has not fired, and its trigger. Cancelling it makes it fail with [`Cancelled`].
    pub fn new() -> (Trigger<T>, Self) {
        Self::ends(Canceller::None)
    }

    /// Creates a Deferred whose work can be stopped. Cancelling it before it has fired calls `canceller`, at most once. The
    /// result is what `canceller` returns or fires; if it does neither, the Deferred fails with [`Cancelled`] (D6).
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

    /// Creates a Deferred that has fired with `value` (D14).
    pub fn succeed(value: T) -> Self {
        Self::of(Chain::settled(erase(Ok(value))))
    }

    /// Creates a Deferred that has failed (D14).
    pub fn fail(failure: impl Into<Failure>) -> Self {
        Self::of(Chain::settled(Err(failure.into())))
    }

    /// Creates a Deferred that waits for `inner`, as one whose callback returned `inner` does (D4).
    pub(crate) fn waiting_for(inner: Self) -> Self {
        Self::of(Chain::waiting_for(inner.chain))
    }

    /// Adds a callback, which takes the value and decides what follows. A failure skips it. If the callback returns a
    /// Deferred, the handlers added after it wait for that one (D4).
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

    /// Adds an errback, which takes the failure and decides what follows. A value skips it, so both have the same type; use
    /// [`add_callbacks`](Self::add_callbacks) to change it:
    ///
    /// ```
    /// use callbacks::{Deferred, Failure};
    ///
    /// let poem = Deferred::<String>::fail(Failure::message("no poem"));
    /// let found: Deferred<Option<String>> = poem.add_callbacks(|poem| Ok(Some(poem)), |_| Ok(None));
    /// assert_eq!(found.take_result().unwrap().unwrap(), None);
    /// ```
    pub fn add_errback<O: Outcome<Value = T>>(
        self,
        errback: impl FnOnce(Failure) -> O + 'static,
    ) -> Self {
        self.step(move |settled| match settled {
            Ok(value) => Next::Settled(Ok(value)),
            Err(failure) => errback(failure).into_next(),
        })
    }

    /// Adds a pair of handlers, of which one takes the result. `errback` does not take a failure of `callback` (D1).
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

    /// Adds a handler that takes the result of either side.
    pub fn add_both<O: Outcome>(
        self,
        both: impl FnOnce(Result<T, Failure>) -> O + 'static,
    ) -> Deferred<O::Value> {
        self.step(move |settled| both(settled.map(restore)).into_next())
    }

    /// Adds a handler of either side to a Deferred that stays where it is stored, so its type cannot change.
    ///
    /// ```
    /// use callbacks::Deferred;
    ///
    /// struct Cache {
    ///     poem: Deferred<usize>,
    /// }
    /// let (trigger, poem) = Deferred::new();
    /// let cache = Cache { poem };
    /// cache.poem.also(|result| result.map(|length| length + 1));
    /// trigger.callback(4);
    /// assert_eq!(cache.poem.take_result().unwrap().unwrap(), 5);
    /// ```
    pub fn also<O: Outcome<Value = T>>(
        &self,
        both: impl FnOnce(Result<T, Failure>) -> O + 'static,
    ) {
        let step = move |settled: Settled| both(settled.map(restore)).into_next();
        self.chain.push(Step::Call(Box::new(step)));
    }

    /// Cancels the Deferred unless the handlers added so far have run within `time` of now; it then fails with [`TimedOut`]
    /// (D7). A failure by the user's own cancel stays [`Cancelled`].
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
    // ANCHOR: timeout
    pub fn timeout(self, time: Duration, clock: &Clock) -> Self {
        let expired = Rc::new(Cell::new(false));
        let (chain, expires) = (Rc::downgrade(&self.chain), Rc::clone(&expired));
        let call = clock.call_later(time, move || {
            if let Some(chain) = chain.upgrade() {
                expires.set(true);
                chain.cancel();
            }
        });
        self.add_both(move |result| {
            // Fails if the timer itself has brought this result.
            let _ = call.cancel();
            match result {
                Err(failure) if expired.get() && failure.is::<Cancelled>() => Err(TimedOut.into()),
                result => result,
            }
        })
    }
    // ANCHOR_END: timeout

    /// Cancels the Deferred: see [`with_canceller`](Self::with_canceller). Does nothing if it has fired, unless it waits for
    /// an inner Deferred: then that one is cancelled (D6).
    ///
    /// ```
    /// use callbacks::{Cancelled, Deferred};
    ///
    /// let (trigger, poem) = Deferred::<String>::new();
    /// poem.cancel();
    /// assert!(trigger.is_cancelled());
    /// trigger.callback("dropped".to_owned());
    /// assert!(poem.take_result().unwrap().unwrap_err().is::<Cancelled>());
    /// ```
    pub fn cancel(&self) {
        self.chain.cancel();
    }

    /// Pauses the handlers that have not run yet, until [`unpause`](Self::unpause) has been called as often (D5).
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
    /// The Deferred is not paused.
    pub fn unpause(&self) -> Result<(), NotPaused> {
        self.chain.unpause().then_some(()).ok_or(NotPaused)
    }

    /// Returns a handle that can cancel or pause the Deferred after it has been handed on.
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

    /// Returns whether it has fired or was cancelled; its handlers may still have to run.
    pub fn has_fired(&self) -> bool {
        self.chain.is_fired()
    }

    /// Returns whether all handlers have run and the result can be taken.
    pub fn is_settled(&self) -> bool {
        self.chain.is_settled()
    }

    /// Takes the result, if all handlers have run.
    ///
    /// # Errors
    /// Returns the Deferred itself if it has no result yet.
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

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Deferred")
            .field("fired", &self.chain.is_fired())
            .finish_non_exhaustive()
    }
}
