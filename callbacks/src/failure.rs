//! What travels down the failure side of a Deferred: any error, boxed, that can be asked for its kind.

use std::error::Error;
use std::fmt;

/// An error of any kind on its way to an errback.
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
    /// A failure that is only words.
    pub fn message(words: impl Into<String>) -> Self {
        Self {
            error: words.into().into(),
        }
    }

    /// Whether the error is an `E` (Twisted's `check`).
    pub fn is<E: Error + 'static>(&self) -> bool {
        self.error.is::<E>()
    }

    /// The error, if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }

    /// Takes the error out if it is an `E`.
    ///
    /// # Errors
    /// The failure itself, to be passed on, if it is something else: so that an errback can write
    /// `failure.trap::<Cancelled>()?`.
    pub fn trap<E: Error + 'static>(self) -> Result<E, Self> {
        match self.error.downcast() {
            Ok(error) => Ok(*error),
            Err(error) => Err(Self { error }),
        }
    }

    /// The error.
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

/// Somebody did not want the result any more (D6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// What was to fire the Deferred is gone: its result will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("abandoned: nobody is left to fire it")]
pub struct Abandoned;

/// The result did not come in time (D7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct TimedOut;

/// A callback returned the Deferred it was a callback of, or one that waits for it (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Deferred cannot wait for itself")]
pub struct WaitsForItself;

/// A callback panicked; what exceptions are to Twisted, but never the way to say that something failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a callback panicked: {0}")]
pub struct Panicked(pub String);
