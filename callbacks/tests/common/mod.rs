//! Helpers of the tests: failures with a message, the result of a Deferred, a journal, and an observer of turns.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use callbacks::{Deferred, Failure, OpenReactor, Reactor, log};
use poetry::event::Interest;
use poetry::{Event, Kind, Observer};

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

/// Runs `reactor` until `deferred` has a result.
pub(crate) fn run_for<T: 'static>(
    reactor: &OpenReactor,
    deferred: Deferred<T>,
) -> Result<T, Failure> {
    let kept = Rc::new(Cell::new(None));
    let (keeps, context) = (Rc::clone(&kept), Reactor::clone(reactor));
    drop(deferred.add_both(move |result| {
        keeps.set(Some(result));
        Ok(context.stop()?)
    }));
    reactor.run().unwrap();
    kept.take().unwrap()
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

/// Records, in order, which connection was answered how many requests.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Vec<(u64, u64)>>);

impl Answers {
    pub(crate) fn take(&self) -> Vec<(u64, u64)> {
        mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Answers {
    fn interest(&self) -> Interest {
        Interest::ANSWERED
    }

    fn observe(&self, event: &Event) {
        if let Kind::Answered { requests } = event.kind {
            self.0.lock().unwrap().push((event.scene.task, requests));
        }
    }
}
