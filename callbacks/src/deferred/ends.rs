//! The other handles of a Deferred: the trigger that fires it, and the controls that cancel or pause it.

use std::fmt;
use std::marker::PhantomData;
use std::rc::{Rc, Weak};

use super::chain::{Canceller, Chain};
use super::outcome::erase;
use super::teardown;
use crate::failure::Failure;

/// Fires one [`Deferred`](crate::Deferred). Firing consumes it, so firing twice does not compile (D2):
///
/// ```compile_fail,E0382
/// let (trigger, deferred) = callbacks::Deferred::new();
/// trigger.callback(1);
/// trigger.callback(2);
/// # drop(deferred);
/// ```
///
/// A trigger that is dropped unfired fails its Deferred with [`Abandoned`](crate::Abandoned), so that no callback waits for
/// ever. That failure is not reported if no errback handles it (D8). See [`never`](Self::never) for Twisted's behaviour.
#[must_use = "a Deferred whose trigger is dropped fails"]
pub struct Trigger<T> {
    pub(super) chain: Rc<Chain>,
    pub(super) types: PhantomData<fn(T)>,
}

// ANCHOR: trigger
impl<T: 'static> Trigger<T> {
    /// Fires with `value` and runs the callbacks.
    pub fn callback(self, value: T) {
        self.fire(Ok(value));
    }

    /// Fires with `failure` and runs the errbacks.
    pub fn errback(self, failure: impl Into<Failure>) {
        self.fire(Err(failure.into()));
    }

    /// Fires with `result`. If the Deferred was cancelled, the result is dropped.
    pub fn fire(self, result: Result<T, Failure>) {
        self.chain.fire(erase(result));
    }

    /// Returns whether the Deferred was cancelled, so that firing it has no effect.
    pub fn is_cancelled(&self) -> bool {
        self.chain.is_cancelled()
    }
}
// ANCHOR_END: trigger

impl<T> Trigger<T> {
    /// Drops the trigger without failing its Deferred, which then never fires, as in Twisted.
    pub fn never(mut self) {
        self.chain = Chain::new(Canceller::None);
        self.chain.forget();
    }
}

// ANCHOR: abandon
impl<T> Drop for Trigger<T> {
    fn drop(&mut self) {
        if !self.chain.is_fired() {
            teardown::abandon(Rc::clone(&self.chain));
        }
    }
}
// ANCHOR_END: abandon

/// Cancels or pauses a [`Deferred`](crate::Deferred) that has been handed on.
#[derive(Clone)]
pub struct Control {
    pub(super) chain: Rc<Chain>,
}

impl Control {
    /// As [`Deferred::cancel`](crate::Deferred::cancel).
    pub fn cancel(&self) {
        self.chain.cancel();
    }

    /// As [`Deferred::pause`](crate::Deferred::pause).
    pub fn pause(&self) {
        self.chain.pause();
    }

    /// As [`Deferred::unpause`](crate::Deferred::unpause).
    ///
    /// # Errors
    /// The Deferred is not paused.
    pub fn unpause(&self) -> Result<(), NotPaused> {
        self.chain.unpause().then_some(()).ok_or(NotPaused)
    }
}

/// A [`Control`] that does not keep the Deferred alive, for members of a list that refer to each other.
pub(crate) struct WeakControl(pub(super) Weak<Chain>);

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
