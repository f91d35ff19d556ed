//! What handlers return, and the values that travel through a chain.

use poetry::panics;

use super::Deferred;
use super::chain::{Chain, Next, Settled, Value};
use crate::failure::{Failure, Panicked};

/// The return type of a handler: a `Result`, or a `Deferred` whose result comes later (D4).
///
/// A handler that returns sometimes the one and sometimes the other returns a `Deferred`, which values and results
/// convert into:
///
/// ```
/// use callbacks::{Deferred, Failure};
///
/// fn poem(cached: Option<&'static str>, fetched: Deferred<&'static str>) -> Deferred<&'static str> {
///     match cached {
///         Some("") => Err(Failure::message("an empty poem")).into(),
///         Some(poem) => poem.into(),
///         None => fetched,
///     }
/// }
/// let (_trigger, fetched) = Deferred::new();
/// assert_eq!(poem(Some("Ahoy"), fetched).take_result().unwrap().unwrap(), "Ahoy");
/// ```
pub trait Outcome {
    /// The value that the next callback takes.
    type Value: 'static;

    #[doc(hidden)]
    fn into_next(self) -> Next;
}

// ANCHOR: outcome
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
// ANCHOR_END: outcome

/// As [`Deferred::succeed`].
impl<T: 'static> From<T> for Deferred<T> {
    fn from(value: T) -> Self {
        Self::succeed(value)
    }
}

/// A Deferred that has fired with this result.
impl<T: 'static> From<Result<T, Failure>> for Deferred<T> {
    fn from(result: Result<T, Failure>) -> Self {
        Self::of(Chain::settled(erase(result)))
    }
}

/// Calls `function` and turns its outcome into a Deferred. A panic in it becomes a failure (D14).
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

pub(super) fn erase<T: 'static>(result: Result<T, Failure>) -> Settled {
    match result {
        Ok(value) => Ok(Box::new(value)),
        Err(failure) => Err(failure),
    }
}

pub(super) fn restore<T: 'static>(value: Value) -> T {
    match value.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("a Deferred<T> carries a T"),
    }
}
