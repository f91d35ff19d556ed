//! The failure side of a Deferred: any error, boxed, whose type can be tested and taken out.

use std::error::Error;
use std::fmt;

use crate::deferred::list::{AllFailed, FirstError};

/// An error of any type on its way to an errback.
///
/// Any [`Error`] becomes a `Failure` by `?` or `into`; [`trap`](Failure::trap) takes it out again.
///
/// ```
/// use callbacks::{Cancelled, Failure};
///
/// let failure = Failure::from(Cancelled);
/// assert!(failure.is::<Cancelled>());
/// assert_eq!(failure.trap::<Cancelled>().unwrap(), Cancelled);
/// ```
pub struct Failure {
    error: Box<dyn Error>,
}

impl Failure {
    /// Creates a failure that is only a message.
    pub fn message(words: impl Into<String>) -> Self {
        Self {
            error: words.into().into(),
        }
    }

    /// Returns whether the error is an `E` (Twisted's `check`).
    pub fn is<E: Error + 'static>(&self) -> bool {
        self.error.is::<E>()
    }

    /// Returns the error if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }

    /// Takes the error out if it is an `E`.
    ///
    /// # Errors
    /// Returns the failure itself if the error is of another type, so that an errback can pass it on with
    /// `failure.trap::<Cancelled>()?`.
    pub fn trap<E: Error + 'static>(self) -> Result<E, Self> {
        match self.error.downcast() {
            Ok(error) => Ok(*error),
            Err(error) => Err(Self { error }),
        }
    }

    /// Returns whether the failure only says that results will never come, which is not reported (D8): [`Abandoned`], or
    /// that of a list's members.
    pub(crate) fn is_abandoned(&self) -> bool {
        let of_list = |error: &FirstError| error.failure.is_abandoned();
        let of_all =
            |error: &AllFailed| !error.0.is_empty() && error.0.iter().all(Self::is_abandoned);
        self.is::<Abandoned>()
            || self.downcast_ref().is_some_and(of_list)
            || self.downcast_ref().is_some_and(of_all)
    }

    /// Returns the error.
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: Box::new(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(out)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Failure({:?})", self.error)
    }
}

/// The Deferred was cancelled (D6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// The trigger of the Deferred was dropped, so its result will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("abandoned: its trigger was dropped")]
pub struct Abandoned;

/// The result did not come in time (D7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct TimedOut;

/// A callback returned the Deferred it was a callback of, or one that waits for it (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Deferred cannot wait for itself")]
pub struct WaitsForItself;

/// A callback panicked. Twisted turns exceptions into failures; here a handler returns an `Err` for an expected failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a callback panicked: {0}")]
pub struct Panicked(pub String);
