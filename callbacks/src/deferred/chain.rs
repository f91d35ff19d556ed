//! The untyped machinery of a `Deferred`: one result, and the steps that it has yet to go through. Firing, waiting and
//! cancelling are loops, so that chains of any depth take constant stack (D9); `teardown.rs` does the same for dropping.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::{Rc, Weak};

use poetry::panics;

use crate::failure::{Cancelled, Failure, Panicked, WaitsForItself};

/// A value of the type that the next step expects, which the typed layer above guarantees.
pub(super) type Value = Box<dyn Any>;
/// A result on its way through the steps.
pub(super) type Settled = Result<Value, Failure>;

/// The outcome of a step.
#[derive(Debug)]
pub enum Next {
    /// A result, for the next step.
    Settled(Settled),
    /// The result of this chain, once it has one.
    Wait(Rc<Chain>),
}

type Handler = Box<dyn FnOnce(Settled) -> Next>;

pub(super) enum Step {
    /// A pair of callback and errback.
    Call(Handler),
    /// A coroutine that waits for the result.
    Await(Handler),
    /// The end of an inner chain: the outer one takes its result.
    Resume(Rc<Chain>),
}

/// What a cancel calls (D6).
#[derive(Default)]
pub(super) enum Canceller {
    #[default]
    None,
    /// Called at most once; it may return the result.
    Once(Box<dyn FnOnce() -> Option<Settled>>),
    /// A coroutine: the cancel goes on to the chain that it awaits, and the coroutine decides what follows (D13).
    Delegate(Weak<dyn Delegate>),
}

/// Passes a cancel on.
pub(super) trait Delegate {
    /// Returns the chain to cancel instead: the one that it awaits.
    fn awaited(&self) -> Option<Rc<Chain>>;
    /// Notes a cancel that came while it awaited nothing.
    fn cancelled(&self);
}

/// A Deferred without its type.
#[derive(Default)]
pub struct Chain {
    pub(super) state: RefCell<State>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Chain").finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) result: Option<Settled>,
    pub(super) steps: VecDeque<Step>,
    pub(super) canceller: Canceller,
    /// The inner chain whose result this one waits for.
    inner: Option<Weak<Chain>>,
    pauses: usize,
    fired: bool,
    /// Whether it was cancelled before it fired, so that the one later fire is dropped.
    cancelled: bool,
    running: bool,
}

impl State {
    /// Returns whether the result must stay where it is for now.
    fn is_held(&self) -> bool {
        self.running || self.pauses > 0 || self.inner.is_some()
    }
}

impl Chain {
    pub(super) fn new(canceller: Canceller) -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(State {
                canceller,
                ..State::default()
            }),
        })
    }

    pub(super) fn settled(result: Settled) -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(State {
                result: Some(result),
                fired: true,
                ..State::default()
            }),
        })
    }

    /// Creates a chain that has fired and takes the result of `inner`.
    pub(super) fn waiting_for(inner: Rc<Self>) -> Rc<Self> {
        let chain = Self::new(Canceller::None);
        chain.state.borrow_mut().fired = true;
        chain.accept(Next::Wait(inner));
        chain
    }

    /// Gives the chain its first result, unless it was cancelled. Only its trigger calls this, once.
    pub(super) fn fire(self: &Rc<Self>, result: Settled) {
        let cancelled = mem::take(&mut self.state.borrow_mut().cancelled);
        // Without the borrow: dropping the result may call back here.
        if !cancelled {
            self.settle(result);
        }
    }

    fn settle(self: &Rc<Self>, result: Settled) {
        let mut state = self.state.borrow_mut();
        state.fired = true;
        state.result = Some(result);
        let canceller = mem::take(&mut state.canceller);
        drop(state);
        drop(canceller);
        run(Rc::clone(self));
    }

    /// Marks a chain that will never have a result as fired.
    pub(super) fn forget(&self) {
        self.state.borrow_mut().fired = true;
    }

    /// Adds a step, which runs at once if the result has come and nothing holds it (D3).
    pub(super) fn push(self: &Rc<Self>, step: Step) {
        self.state.borrow_mut().steps.push_back(step);
        run(Rc::clone(self));
    }

    /// Takes the result, if all steps have run.
    pub(super) fn take(&self) -> Option<Settled> {
        let mut state = self.state.borrow_mut();
        if state.is_held() || !state.steps.is_empty() {
            return None;
        }
        state.result.take()
    }

    pub(super) fn is_settled(&self) -> bool {
        let state = self.state.borrow();
        !state.is_held() && state.steps.is_empty() && state.result.is_some()
    }

    pub(super) fn is_fired(&self) -> bool {
        self.state.borrow().fired
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state.borrow().cancelled
    }

    pub(super) fn pause(&self) {
        self.state.borrow_mut().pauses += 1;
    }

    /// Ends a pause. Returns whether there was one (D5).
    pub(super) fn unpause(self: &Rc<Self>) -> bool {
        {
            let mut state = self.state.borrow_mut();
            let Some(pauses) = state.pauses.checked_sub(1) else {
                return false;
            };
            state.pauses = pauses;
        }
        run(Rc::clone(self));
        true
    }

    // ANCHOR: cancel
    /// Cancels the innermost chain that this one waits for (D6).
    pub(super) fn cancel(self: &Rc<Self>) {
        let mut target = Rc::clone(self);
        loop {
            match target.next_to_cancel() {
                Target::Inner(inner) => target = inner,
                Target::Here(canceller) => return target.cancel_here(canceller),
                Target::Orphan => return target.cancel_orphan(),
                Target::None => return,
            }
        }
    }
    // ANCHOR_END: cancel

    fn next_to_cancel(&self) -> Target {
        let mut state = self.state.borrow_mut();
        if let Some(inner) = &state.inner {
            return inner.upgrade().map_or(Target::Orphan, Target::Inner);
        }
        if state.fired {
            return Target::None;
        }
        if let Canceller::Delegate(delegate) = &state.canceller {
            let delegate = delegate.upgrade();
            let awaited = delegate.as_ref().and_then(|delegate| delegate.awaited());
            if let (Some(delegate), None) = (delegate, &awaited) {
                delegate.cancelled();
            }
            return awaited.map_or(Target::None, Target::Inner);
        }
        Target::Here(mem::take(&mut state.canceller))
    }

    fn cancel_here(self: &Rc<Self>, canceller: Canceller) {
        let result = match canceller {
            Canceller::Once(canceller) => panics::contain(canceller)
                .unwrap_or_else(|message| Some(Err(Panicked(message).into()))),
            Canceller::None | Canceller::Delegate(_) => None,
        };
        if self.state.borrow().fired {
            return; // The canceller has fired the chain, and that result stands.
        }
        // Set first: the errbacks that run now may use the trigger.
        self.state.borrow_mut().cancelled = true;
        self.settle(result.unwrap_or_else(|| Err(Cancelled.into())));
    }

    fn cancel_orphan(self: &Rc<Self>) {
        self.resume(Err(Cancelled.into()));
        run(Rc::clone(self));
    }

    /// Takes the next step that may run, and its input.
    fn next_step(&self) -> Option<(Step, Settled)> {
        let mut state = self.state.borrow_mut();
        if state.is_held() || state.result.is_none() {
            return None;
        }
        let step = state.steps.pop_front()?;
        state.running = !matches!(step, Step::Resume(_));
        Some((step, state.result.take()?))
    }

    // ANCHOR: accept_outcome
    /// Accepts the outcome of a step.
    fn accept(self: &Rc<Self>, next: Next) {
        self.state.borrow_mut().running = false;
        let result = match next {
            Next::Settled(result) => result,
            Next::Wait(inner) if self.would_wait_for_itself(&inner) => Err(WaitsForItself.into()),
            Next::Wait(inner) => match inner.take() {
                Some(result) => result,
                None => {
                    self.state.borrow_mut().inner = Some(Rc::downgrade(&inner));
                    // Not `push`, which would run the inner chain: the code that holds it runs it later.
                    let resume = Step::Resume(Rc::clone(self));
                    inner.state.borrow_mut().steps.push_back(resume);
                    return;
                }
            },
        };
        self.state.borrow_mut().result = Some(result);
    }
    // ANCHOR_END: accept_outcome

    fn resume(&self, result: Settled) {
        let mut state = self.state.borrow_mut();
        state.inner = None;
        state.result = Some(result);
    }

    /// Returns whether `inner` is this chain or waits for it through others (D4). Only a chain that another one waits for
    /// can close a ring, so a growing chain is not walked at every step.
    pub(super) fn would_wait_for_itself(self: &Rc<Self>, inner: &Rc<Self>) -> bool {
        if Rc::ptr_eq(self, inner) {
            return true;
        }
        let is_waited_for = matches!(
            self.state.borrow().steps.back(),
            Some(Step::Resume(_) | Step::Await(_))
        );
        if !is_waited_for {
            return false;
        }
        let mut next = Some(Rc::clone(inner));
        while let Some(chain) = next {
            if Rc::ptr_eq(self, &chain) {
                return true;
            }
            next = chain.waits_for();
        }
        false
    }

    fn waits_for(&self) -> Option<Rc<Self>> {
        let state = self.state.borrow();
        match (&state.inner, &state.canceller) {
            (Some(inner), _) => inner.upgrade(),
            (None, Canceller::Delegate(delegate)) => delegate.upgrade()?.awaited(),
            (None, _) => None,
        }
    }
}

/// The target of a cancel.
enum Target {
    /// The chain that this one waits for.
    Inner(Rc<Chain>),
    /// This chain, which has not fired.
    Here(Canceller),
    /// This chain, which waits for one that no longer exists.
    Orphan,
    /// Nowhere: the chain has fired, or its coroutine has taken note.
    None,
}

// ANCHOR: run_steps
/// Runs the steps of `chain` as far as they can go, and those of the chains that wait for it.
fn run(mut chain: Rc<Chain>) {
    while let Some((step, result)) = chain.next_step() {
        match step {
            Step::Call(call) | Step::Await(call) => {
                let next = panics::contain(|| call(result))
                    .unwrap_or_else(|message| Next::Settled(Err(Panicked(message).into())));
                chain.accept(next);
            }
            Step::Resume(outer) => {
                outer.resume(result);
                chain = outer;
            }
        }
    }
}
// ANCHOR_END: run_steps
