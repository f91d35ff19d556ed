//! What stands behind a `Deferred` of any type: one result at a time, and the steps it still has to go. Everything that
//! could recurse (firing, waiting, cancelling, dropping) is a loop here, so that depth costs no stack (D9).

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::{Rc, Weak};
use std::thread::LocalKey;

use poetry::panics;

use crate::failure::{Abandoned, Cancelled, Failure, Panicked, WaitsForItself};
use crate::log::{self, Trouble};

/// A value of the type that the step it goes to expects; the typed layer above sees to that.
pub(super) type Value = Box<dyn Any>;
/// A result on its way.
pub(super) type Settled = Result<Value, Failure>;

/// What a step makes of a result.
#[derive(Debug)]
pub enum Next {
    /// A result, for the next step.
    Settled(Settled),
    /// The result of that chain, when it has one.
    Wait(Rc<Chain>),
}

type Handler = Box<dyn FnOnce(Settled) -> Next>;

pub(super) enum Step {
    /// A pair of callback and errback.
    Call(Handler),
    /// A coroutine that waits for the result.
    Await(Handler),
    /// The end of an inner chain: its result goes to the outer one, which waits for it.
    Resume(Rc<Chain>),
}

/// Who is asked when nobody wants the result any more (D6).
#[derive(Default)]
pub(super) enum Canceller {
    #[default]
    None,
    /// Called at most once; may say what the result is.
    Once(Box<dyn FnOnce() -> Option<Settled>>),
    /// A coroutine: the cancel goes on to what it awaits, and the coroutine decides (D13).
    Delegate(Weak<dyn Delegate>),
}

/// Somebody who passes a cancel on.
pub(super) trait Delegate {
    /// What it waits for, which is to be cancelled in its place.
    fn awaited(&self) -> Option<Rc<Chain>>;
    /// It was cancelled while it waited for nothing.
    fn cancelled(&self);
}

/// One Deferred, whatever its type.
#[derive(Default)]
pub struct Chain {
    state: RefCell<State>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Chain").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    result: Option<Settled>,
    steps: VecDeque<Step>,
    canceller: Canceller,
    /// The inner chain whose result this one waits for.
    inner: Option<Weak<Chain>>,
    pauses: usize,
    fired: bool,
    /// Cancelled before it fired: the one fire that is still to come is swallowed.
    swallows: bool,
    running: bool,
}

impl State {
    /// Whether the result may not go on now.
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

    /// Gives the chain its first result, unless it was cancelled. Only the one trigger calls this, and only once.
    pub(super) fn fire(self: &Rc<Self>, result: Settled) {
        let swallows = mem::take(&mut self.state.borrow_mut().swallows);
        // Without the borrow: what the result owns may come back here when it is dropped.
        if !swallows {
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

    /// Nobody will ask for a result: there is none to be had.
    pub(super) fn forget(&self) {
        self.state.borrow_mut().fired = true;
    }

    /// Adds a step; it runs at once if the result has come and nothing holds it (D3).
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
        self.state.borrow().swallows
    }

    pub(super) fn pause(&self) {
        self.state.borrow_mut().pauses += 1;
    }

    /// Whether there was a pause to end (D5).
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

    /// Cancels the innermost chain that this one waits for (D6).
    pub(super) fn cancel(self: &Rc<Self>) {
        let mut target = Rc::clone(self);
        loop {
            match target.next_to_cancel() {
                Target::Inner(inner) => target = inner,
                Target::Here(canceller) => return target.cancel_here(canceller),
                Target::Orphan => return target.cancel_orphan(),
                Target::Nobody => return,
            }
        }
    }

    fn next_to_cancel(&self) -> Target {
        let mut state = self.state.borrow_mut();
        if let Some(inner) = &state.inner {
            return inner.upgrade().map_or(Target::Orphan, Target::Inner);
        }
        if state.fired {
            return Target::Nobody;
        }
        if let Canceller::Delegate(delegate) = &state.canceller {
            let delegate = delegate.upgrade();
            let awaited = delegate.as_ref().and_then(|delegate| delegate.awaited());
            if let (Some(delegate), None) = (delegate, &awaited) {
                delegate.cancelled();
            }
            return awaited.map_or(Target::Nobody, Target::Inner);
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
            return; // The canceller has fired it: that result stands.
        }
        // First: the errbacks that run now may fire what they have cancelled.
        self.state.borrow_mut().swallows = true;
        self.settle(result.unwrap_or_else(|| Err(Cancelled.into())));
    }

    fn cancel_orphan(self: &Rc<Self>) {
        self.resume(Err(Cancelled.into()));
        run(Rc::clone(self));
    }

    /// The next step that may run, with the result it takes.
    fn next_step(&self) -> Option<(Step, Settled)> {
        let mut state = self.state.borrow_mut();
        if state.is_held() || state.result.is_none() {
            return None;
        }
        let step = state.steps.pop_front()?;
        state.running = !matches!(step, Step::Resume(_));
        Some((step, state.result.take()?))
    }

    /// Takes in what a step made.
    fn accept(self: &Rc<Self>, next: Next) {
        self.state.borrow_mut().running = false;
        let result = match next {
            Next::Settled(result) => result,
            Next::Wait(inner) if self.would_wait_for_itself(&inner) => Err(WaitsForItself.into()),
            Next::Wait(inner) => match inner.take() {
                Some(result) => result,
                None => {
                    self.state.borrow_mut().inner = Some(Rc::downgrade(&inner));
                    // Not `push`: an inner chain that is held now is run by whoever lets it go.
                    let resume = Step::Resume(Rc::clone(self));
                    inner.state.borrow_mut().steps.push_back(resume);
                    return;
                }
            },
        };
        self.state.borrow_mut().result = Some(result);
    }

    fn resume(&self, result: Settled) {
        let mut state = self.state.borrow_mut();
        state.inner = None;
        state.result = Some(result);
    }

    /// Whether `inner` is this chain or waits, through others, for it (D4). Only a chain that is waited for can close a
    /// ring, so the walk is not made while a long chain grows.
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

/// Where a cancel goes.
enum Target {
    /// On, to the chain that is waited for.
    Inner(Rc<Chain>),
    /// To a chain that has not fired.
    Here(Canceller),
    /// To a chain that waits for one which nobody can fire any more.
    Orphan,
    Nobody,
}

/// Lets the result of `chain` go as far as it can, and on into the chains that wait for it.
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

thread_local! {
    /// Chains that nobody can fire any more, while somebody sees to them.
    static ABANDONED: RefCell<Option<Vec<Rc<Chain>>>> = const { RefCell::new(None) };
}

/// Fails `chain`, since nobody is left to fire it. What this runs may abandon others.
pub(super) fn abandon(chain: Rc<Chain>) {
    one_by_one(&ABANDONED, chain, |chain| chain.fire(Err(Abandoned.into())));
}

/// Sees to `first`, and to what is handed in meanwhile, in one loop and not by recursion: however long a chain is, the
/// stack is not. A panic costs the one it comes from. When the thread is ending, `first` is dropped here.
fn one_by_one<T>(
    waiting: &'static LocalKey<RefCell<Option<Vec<T>>>>,
    first: T,
    see_to: impl Fn(T),
) {
    let mut next = Some(first);
    let is_outermost = waiting.try_with(|waiting| match &mut *waiting.borrow_mut() {
        Some(others) => {
            others.extend(next.take());
            false
        }
        empty => {
            *empty = Some(Vec::new());
            true
        }
    });
    if is_outermost != Ok(true) {
        return;
    }
    while let Some(one) = next {
        log::contained(|| see_to(one));
        next = waiting.with_borrow_mut(|waiting| {
            let next = waiting.as_mut().and_then(Vec::pop);
            if next.is_none() {
                *waiting = None;
            }
            next
        });
    }
}

/// A failure that nobody has taken is reported (D8); what the chain owns is buried.
impl Drop for Chain {
    fn drop(&mut self) {
        let state = mem::take(self.state.get_mut());
        // Of a result that never came there is nothing to say, if nobody waited for it.
        if let Some(Err(failure)) = &state.result
            && !failure.is::<Abandoned>()
        {
            let failure = failure.to_string();
            log::report(Trouble::Unhandled { failure });
        }
        bury(state);
    }
}

thread_local! {
    /// What is still to be dropped, while somebody is dropping.
    static GRAVES: RefCell<Option<Vec<State>>> = const { RefCell::new(None) };
}

/// Drops `state`, whose steps may own further chains.
fn bury(state: State) {
    if state.steps.is_empty()
        && state.result.is_none()
        && matches!(state.canceller, Canceller::None)
    {
        return;
    }
    one_by_one(&GRAVES, state, drop);
}
