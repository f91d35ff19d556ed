//! What nobody handled: failures that were dropped and panics that were contained. They are told to a hook of the
//! thread; without one, a line goes to stderr.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use poetry::panics;

/// Something that went wrong with nobody there to handle it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A Deferred was dropped with a failure that no errback had seen (D8).
    Unhandled {
        /// What the failure said.
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

/// Tells this thread's troubles to `hook` from now on, in place of stderr.
///
/// ```
/// use callbacks::{Deferred, Failure, log};
/// use std::{cell::Cell, rc::Rc};
///
/// let heard = Rc::new(Cell::new(0));
/// let count = Rc::clone(&heard);
/// log::set_hook(move |_| count.set(count.get() + 1));
/// drop(Deferred::<()>::fail(Failure::message("nobody looks at this")));
/// assert_eq!(heard.get(), 1);
/// ```
pub fn set_hook(hook: impl Fn(&Trouble) + 'static) {
    HOOK.set(Some(Rc::new(hook)));
}

/// Tells the hook; during the end of a thread, when there is none any more, stderr. A closed stderr is no harm (S22),
/// nor is a hook that panics: then, too, stderr is told.
pub(crate) fn report(trouble: Trouble) {
    let hook = HOOK.try_with(|hook| hook.borrow().clone()).ok().flatten();
    let told = hook.and_then(|hook| panics::contain(|| hook(&trouble)).ok());
    if told.is_none() {
        drop(writeln!(io::stderr().lock(), "{trouble}"));
    }
}

/// Runs `call`; its panic is reported, and goes no further (R4).
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    panics::contain(call)
        .map_err(|message| report(Trouble::Panicked { message }))
        .ok()
}
