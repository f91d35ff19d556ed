//! The end of chains: abandoning those whose trigger is gone, reporting failures that no errback took (D8), and dropping
//! chains of any length in constant stack (D9).

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::thread::LocalKey;

use super::chain::{Canceller, Chain, State};
use crate::failure::Abandoned;
use crate::log::{self, Trouble};

thread_local! {
    /// Chains that are still to be abandoned, while an outer call is abandoning others.
    static ABANDONED: RefCell<Option<Vec<Rc<Chain>>>> = const { RefCell::new(None) };
}

/// Fails `chain`, whose trigger was dropped. The handlers that this runs may abandon others.
pub(super) fn abandon(chain: Rc<Chain>) {
    in_turn(&ABANDONED, chain, |chain| chain.fire(Err(Abandoned.into())));
}

/// Handles `first`, and the items that nested calls hand in meanwhile, in one loop without recursion. A panic affects
/// only the item it comes from. While the thread is ending, `first` is dropped here.
fn in_turn<T>(waiting: &'static LocalKey<RefCell<Option<Vec<T>>>>, first: T, handle: impl Fn(T)) {
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
    while let Some(item) = next {
        log::contained(|| handle(item));
        next = waiting.with_borrow_mut(|waiting| {
            let next = waiting.as_mut().and_then(Vec::pop);
            if next.is_none() {
                *waiting = None;
            }
            next
        });
    }
}

// ANCHOR: unhandled
/// Reports a failure that no errback has taken (D8), and drops what the chain owns in constant stack (D9).
impl Drop for Chain {
    fn drop(&mut self) {
        let state = mem::take(self.state.get_mut());
        if let Some(Err(failure)) = &state.result
            && !failure.is_abandoned()
        {
            let failure = failure.to_string();
            log::report(Trouble::Unhandled { failure });
        }
        drop_in_turn(state);
    }
}
// ANCHOR_END: unhandled

thread_local! {
    /// States that are still to be dropped, while an outer call is dropping others.
    static DROPPING: RefCell<Option<Vec<State>>> = const { RefCell::new(None) };
}

/// Drops `state`, whose steps may own further chains.
fn drop_in_turn(state: State) {
    if state.steps.is_empty()
        && state.result.is_none()
        && matches!(state.canceller, Canceller::None)
    {
        return;
    }
    in_turn(&DROPPING, state, drop);
}
