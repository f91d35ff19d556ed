//! Reports of failures that were dropped unhandled and of panics that were contained. They go to the thread's hook, or
//! without one to stderr, one line each.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use poetry::panics;

/// An unhandled failure, or a panic that was contained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A Deferred was dropped with a failure that no errback took (D8).
    Unhandled {
        /// The failure's message.
        failure: String,
    },
    /// A timer, hook, thread call or protocol panicked (R4).
    Panicked {
        /// The panic's message.
        message: String,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unhandled { failure } => {
                write!(out, "unhandled failure in a Deferred: {failure}")
            }
            Self::Panicked { message } => write!(out, "a callback panicked: {message}"),
        }
    }
}

type Hook = Rc<dyn Fn(&Trouble)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Sends this thread's reports to `hook` from now on, instead of stderr.
///
/// ```
/// use callbacks::{Deferred, Failure, log};
/// use std::{cell::Cell, rc::Rc};
///
/// let reported = Rc::new(Cell::new(0));
/// let count = Rc::clone(&reported);
/// log::set_hook(move |_| count.set(count.get() + 1));
/// drop(Deferred::<()>::fail(Failure::message("no poem")));
/// assert_eq!(reported.get(), 1);
/// ```
pub fn set_hook(hook: impl Fn(&Trouble) + 'static) {
    HOOK.set(Some(Rc::new(hook)));
}

/// Reports `trouble` to the hook, or to stderr if there is no hook, the hook panics, or the thread is ending. A closed
/// stderr is ignored (S22).
pub(crate) fn report(trouble: Trouble) {
    let hook = HOOK.try_with(|hook| hook.borrow().clone()).ok().flatten();
    let reported = hook.and_then(|hook| panics::contain(|| hook(&trouble)).ok());
    if reported.is_none() {
        drop(writeln!(io::stderr().lock(), "{trouble}"));
    }
}

/// Runs `call`. Reports a panic in it and returns `None` (R4).
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    panics::contain(call)
        .map_err(|message| report(Trouble::Panicked { message }))
        .ok()
}
