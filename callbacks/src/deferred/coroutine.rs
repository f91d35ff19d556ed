//! Coroutines (D13, Part 17): an `async` block that awaits Deferreds, one at a time, and is itself a Deferred. There is no
//! executor: the call that fires the awaited Deferred resumes the block.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use poetry::panics;

use super::chain::{Canceller, Chain, Delegate, Next, Settled, Step};
use super::outcome::restore;
use super::{Deferred, Trigger};
use crate::failure::{Failure, Panicked, WaitsForItself};
use crate::log;

/// Runs `block` up to its first wait, and returns the Deferred of its result.
///
/// Awaiting a Deferred that has fired takes its value without a pause. Cancelling the block's Deferred cancels the Deferred
/// that the block awaits, or the next one if it awaits none at that moment. The failure arrives at the `await`, where the
/// block can catch it or pass it on with `?`. The block can await only Deferreds, one at a time; it awaits several as one
/// [`DeferredList`](crate::DeferredList). Awaiting a Deferred that waits for the block itself fails with
/// [`WaitsForItself`].
///
/// ```
/// use callbacks::{Cancelled, Deferred, coroutine};
///
/// let (trigger, answer) = Deferred::new();
/// let doubled = coroutine(async move {
///     let answer: u32 = answer.await?;
///     Ok(answer * 2)
/// });
/// trigger.callback(21);
/// assert_eq!(doubled.take_result().unwrap().unwrap(), 42);
///
/// let (_trigger, answer) = Deferred::<u32>::new();
/// let caught = coroutine(async move { Ok(answer.await.unwrap_or_default()) });
/// caught.cancel();
/// assert_eq!(caught.take_result().unwrap().unwrap(), 0);
/// ```
pub fn coroutine<T: 'static>(
    block: impl Future<Output = Result<T, Failure>> + 'static,
) -> Deferred<T> {
    let mut made = None;
    let routine = Rc::new_cyclic(|routine: &Weak<Routine<T, _>>| {
        let (trigger, deferred) = Deferred::ends(Canceller::Delegate(routine.clone()));
        made = Some(deferred);
        Routine {
            block: Cell::new(Some(Box::pin(block))),
            chain: Rc::downgrade(&trigger.chain),
            trigger: Cell::new(Some(trigger)),
            awaited: RefCell::default(),
            cancelled: Cell::new(false),
        }
    });
    start(routine);
    made.unwrap_or_else(|| unreachable!("created with the routine"))
}

/// A block under way. Only the Deferred that it awaits owns it; dropping that Deferred drops the block.
struct Routine<T, F> {
    block: Cell<Option<Pin<Box<F>>>>,
    /// The chain of its result.
    chain: Weak<Chain>,
    trigger: Cell<Option<Trigger<T>>>,
    /// Empty while the block runs or is ready to run.
    awaited: RefCell<Weak<Chain>>,
    /// Whether it was cancelled while it awaited nothing, so that the next awaited Deferred is cancelled.
    cancelled: Cell<bool>,
}

trait Resume {
    /// Runs the block to its next wait or its end.
    fn step(self: Rc<Self>);
    /// Notes the chain that is awaited, for cancels. Returns whether a cancel has come before.
    fn awaits(&self, chain: Weak<Chain>) -> bool;
    /// Notes that the awaited result has come.
    fn awaits_nothing(&self);
    /// Returns whether `chain` waits for this routine's result.
    fn would_wait_for_itself(&self, chain: &Rc<Chain>) -> bool;
}

impl<T: 'static, F: Future<Output = Result<T, Failure>> + 'static> Resume for Routine<T, F> {
    // ANCHOR: step_of_routine
    fn step(self: Rc<Self>) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        let outer = CURRENT.replace(Some(Rc::clone(&self) as _));
        let polled =
            panics::contain(|| block.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        CURRENT.set(outer);
        let result = match polled {
            Ok(Poll::Pending) => return self.block.set(Some(block)),
            Ok(Poll::Ready(result)) => result,
            Err(message) => Err(Panicked(message).into()),
        };
        drop(block);
        if let Some(trigger) = self.trigger.take() {
            trigger.fire(result);
        }
    }
    // ANCHOR_END: step_of_routine

    fn awaits(&self, chain: Weak<Chain>) -> bool {
        self.awaited.replace(chain);
        self.cancelled.take()
    }

    fn awaits_nothing(&self) {
        self.awaited.take();
    }

    fn would_wait_for_itself(&self, chain: &Rc<Chain>) -> bool {
        let own = self.chain.upgrade();
        own.is_some_and(|own| own.would_wait_for_itself(chain))
    }
}

impl<T, F> Delegate for Routine<T, F> {
    fn awaited(&self) -> Option<Rc<Chain>> {
        self.awaited.borrow().upgrade()
    }

    fn cancelled(&self) {
        self.cancelled.set(true);
    }
}

thread_local! {
    /// The routine whose block is running.
    static CURRENT: RefCell<Option<Rc<dyn Resume>>> = const { RefCell::new(None) };
    /// Routines that are ready to run, while an outer call is running routines.
    static READY: RefCell<Option<VecDeque<Rc<dyn Resume>>>> = const { RefCell::new(None) };
}

/// Starts `routine` now, even while another one is running.
fn start(routine: Rc<dyn Resume>) {
    if READY.with_borrow(Option::is_some) {
        routine.step();
    } else {
        resume(routine);
    }
}

/// Resumes `routine`: now, or, while another one is running, as soon as that one waits. So routines that wait for each
/// other take constant stack.
fn resume(routine: Rc<dyn Resume>) {
    let first = READY.with_borrow_mut(|ready| match ready {
        Some(ready) => {
            ready.push_back(Rc::clone(&routine));
            false
        }
        None => {
            *ready = Some(VecDeque::new());
            true
        }
    });
    if !first {
        return;
    }
    let mut next = Some(routine);
    while let Some(routine) = next {
        log::contained(|| routine.step());
        next = READY.with_borrow_mut(|ready| match ready.as_mut().and_then(VecDeque::pop_front) {
            None => {
                *ready = None;
                None
            }
            next => next,
        });
    }
}

impl<T: 'static> IntoFuture for Deferred<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Awaited<T>;

    fn into_future(self) -> Awaited<T> {
        Awaited {
            state: State::New(self.chain),
            types: PhantomData,
        }
    }
}

/// A Deferred that a [`coroutine`] awaits.
///
/// # Panics
/// Panics if anything but a coroutine polls it before it has fired.
#[must_use = "futures do nothing unless awaited"]
pub struct Awaited<T> {
    state: State,
    types: PhantomData<fn() -> T>,
}

enum State {
    /// Not polled yet.
    New(Rc<Chain>),
    /// The chain will put its result here. This state does not own the chain: the chain owns the routine.
    Waiting(Rc<Cell<Option<Settled>>>),
}

impl<T: 'static> Future for Awaited<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let settled = match &self.state {
            State::New(chain) => chain.take(),
            State::Waiting(slot) => slot.take(),
        };
        if let Some(settled) = settled {
            return Poll::Ready(settled.map(restore));
        }
        if let State::New(chain) = &self.state {
            match wait_for(chain) {
                Ok(slot) => self.state = State::Waiting(slot),
                Err(failure) => return Poll::Ready(Err(failure.into())),
            }
        }
        Poll::Pending
    }
}

// ANCHOR: wait_for
/// Resumes the current routine when `chain` has a result.
fn wait_for(chain: &Rc<Chain>) -> Result<Rc<Cell<Option<Settled>>>, WaitsForItself> {
    let routine = CURRENT.with_borrow(Clone::clone);
    let routine = routine.expect("a Deferred can be awaited only in a coroutine");
    if routine.would_wait_for_itself(chain) {
        return Err(WaitsForItself);
    }
    let cancelled = routine.awaits(Rc::downgrade(chain));
    let slot = Rc::new(Cell::new(None));
    let filled = Rc::clone(&slot);
    chain.push(Step::Await(Box::new(move |settled| {
        routine.awaits_nothing();
        filled.set(Some(settled));
        resume(routine);
        Next::Settled(Ok(Box::new(())))
    })));
    if cancelled {
        chain.cancel();
    }
    Ok(slot)
}
// ANCHOR_END: wait_for

impl<T> fmt::Debug for Awaited<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Awaited").finish_non_exhaustive()
    }
}
