//! Part 7: a result that is not here yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use actors::{CallError, Me, Next, NoPort, Node, Process, Received, Reply};
use callbacks::{Abandoned, Cancelled, Clock, Deferred, DelayedCall, Trigger};
use tokio::sync::oneshot;

type Outcome = Result<String, String>;
type Handler = Box<dyn FnOnce(Outcome) -> Outcome>;

/// A Deferred in a few lines. Its result keeps its type, and it can neither wait for another nor be cancelled.
#[derive(Clone, Default)]
struct Later {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    result: Option<Outcome>,
    handlers: VecDeque<Handler>,
}

/// Returns the two ends. The first can be called only once, since its type says no more than `FnOnce`.
fn later() -> (impl FnOnce(Outcome), Later) {
    let later = Later::default();
    let fires = later.clone();
    let fire = move |result| {
        fires.state.borrow_mut().result = Some(result);
        fires.run();
    };
    (fire, later)
}

impl Later {
    fn add_callbacks(
        &self,
        callback: impl FnOnce(String) -> Outcome + 'static,
        errback: impl FnOnce(String) -> Outcome + 'static,
    ) -> &Self {
        let handler = move |result: Outcome| result.map_or_else(errback, callback);
        self.state
            .borrow_mut()
            .handlers
            .push_back(Box::new(handler));
        self.run();
        self
    }

    fn run(&self) {
        while let Some((handler, result)) = self.next() {
            // Without a borrow: the handler may add others.
            let result = handler(result);
            self.state.borrow_mut().result = Some(result);
        }
    }

    /// Takes the result and its next handler. There is no result before it has fired, or while a handler runs.
    fn next(&self) -> Option<(Handler, Outcome)> {
        let mut state = self.state.borrow_mut();
        let result = state.result.take()?;
        let Some(handler) = state.handlers.pop_front() else {
            state.result = Some(result);
            return None;
        };
        Some((handler, result))
    }

    fn result(&self) -> Option<Outcome> {
        self.state.borrow().result.clone()
    }
}

#[test]
fn a_small_deferred_has_two_sides() {
    let (fire, poem) = later();
    poem.add_callbacks(|poem| Err(format!("{poem} does not scan")), Err)
        .add_callbacks(|_| Ok("skipped".into()), Err)
        .add_callbacks(Ok, |failure| Ok(format!("printed, although {failure}")));
    assert_eq!(poem.result(), None);
    fire(Ok("Ahoy".into()));
    let printed = "printed, although Ahoy does not scan";
    assert_eq!(poem.result(), Some(Ok(printed.into())));

    // A late one runs at once, and one that is added by another runs after it.
    let inside = poem.clone();
    let adds = move |poem: String| {
        inside.add_callbacks(|poem| Ok(poem + "!"), Err);
        Ok(poem + "?")
    };
    poem.add_callbacks(adds, Err);
    assert_eq!(poem.result(), Some(Ok(format!("{printed}?!"))));
}

/// Fires with `value` after `time`. Cancelling it removes the call from the clock.
fn after<T: 'static>(clock: &Clock, time: Duration, value: T) -> Deferred<T> {
    let waiting = Rc::<Cell<Option<(Trigger<T>, DelayedCall)>>>::default();
    // Weak, since the trigger refers to the canceller.
    let leaves = Rc::downgrade(&waiting);
    let (trigger, deferred) = Deferred::with_canceller(move || {
        let (trigger, call) = leaves.upgrade()?.take()?;
        // It cannot have run, or the trigger would be gone.
        let _ = call.cancel();
        trigger.errback(Cancelled);
        None
    });
    let fires = Rc::clone(&waiting);
    let call = clock.call_later(time, move || {
        if let Some((trigger, _)) = fires.take() {
            trigger.callback(value);
        }
    });
    waiting.set(Some((trigger, call)));
    deferred
}

#[test]
fn a_cancelled_wait_removes_its_timer() {
    let (clock, second) = (Clock::new(), Duration::from_secs(1));
    let poem = after(&clock, second, "Ahoy");
    clock.advance(second / 2);
    assert!(!poem.is_settled());
    clock.advance(second / 2);
    assert_eq!(poem.take_result().unwrap().unwrap(), "Ahoy");

    let poem = after(&clock, second, "Ahoy");
    assert_eq!(clock.pending(), 1);
    poem.cancel();
    assert_eq!(clock.pending(), 0);
    assert!(poem.take_result().unwrap().unwrap_err().is::<Cancelled>());
}

/// Drops every request without a reply.
struct Forgetful;

impl Process for Forgetful {
    type Message = Reply<String>;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        drop(received);
        Next::Receive
    }
}

#[test]
fn a_broken_promise_is_noticed_in_every_model() {
    let (trigger, poem) = Deferred::<String>::new();
    drop(trigger);
    assert!(poem.take_result().unwrap().unwrap_err().is::<Abandoned>());

    let node = Node::start_one().unwrap();
    let poet = node.spawn("poet", Forgetful);
    let long = Duration::from_secs(30); // Not waited for.
    let poem = node.call(&poet, long, |reply| reply);
    assert_eq!(poem, Err(CallError::NoProcess));
    node.stop();

    let (promise, poem) = oneshot::channel::<String>();
    drop(promise);
    assert!(futures::executor::block_on(poem).is_err());

    let (promise, poem) = mpsc::channel::<String>();
    let poet = thread::spawn(move || drop(promise));
    assert!(poem.recv().is_err());
    poet.join().unwrap();
}
