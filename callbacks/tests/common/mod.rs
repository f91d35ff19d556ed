//! Helpers of the tests: failures with a message, the result of a Deferred, and a journal.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{Deferred, Failure, log};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn words(text: &str) -> Failure {
    Failure::message(text)
}

pub(crate) fn result<T: 'static>(deferred: Deferred<T>) -> Result<T, String> {
    deferred
        .take_result()
        .expect("a result")
        .map_err(|failure| failure.to_string())
}

/// Counts this thread's unhandled failures and panics from here on.
pub(crate) fn unhandled() -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    log::set_hook(move |_| counted.set(counted.get() + 1));
    count
}

/// Runs `program` on a small stack.
pub(crate) fn on_a_small_stack(program: fn()) {
    let thread = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(program)
        .unwrap();
    thread.join().unwrap();
}

/// Notes what happens, in order.
#[derive(Clone, Default)]
pub(crate) struct Journal(Rc<RefCell<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, name: impl Into<String>) {
        self.0.borrow_mut().push(name.into());
    }

    pub(crate) fn later(&self, name: &str) -> impl FnOnce() + 'static {
        let (journal, name) = (self.clone(), name.to_owned());
        move || journal.note(name)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}
