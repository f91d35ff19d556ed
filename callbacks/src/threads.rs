//! Blocking work in a thread of its own, with its result back in the reactor (D14).

use std::cell::Cell;
use std::thread;

use poetry::panics;

use crate::deferred::Deferred;
use crate::failure::Panicked;
use crate::reactor::Reactor;

/// Runs `work` in a new thread; the Deferred fires in the reactor's thread. Cancelling does not stop the thread, but drops
/// its result. A panic in `work` is a [`Panicked`] failure.
///
/// Every call starts a thread. Bound their number with [`DeferredSemaphore::run`](crate::DeferredSemaphore::run).
///
/// ```
/// use callbacks::{Reactor, defer_to_thread};
/// use std::{cell::Cell, rc::Rc};
///
/// let reactor = Reactor::open()?;
/// let (context, sum) = (reactor.clone(), Rc::new(Cell::new(0)));
/// let seen = Rc::clone(&sum);
/// let done = defer_to_thread(&reactor, || (1..=10).sum::<u32>()).add_callback(move |sum| {
///     seen.set(sum);
///     Ok(context.stop()?)
/// });
/// reactor.run().unwrap();
/// assert_eq!(sum.get(), 55);
/// # drop(done);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn defer_to_thread<T: Send + 'static>(
    reactor: &Reactor,
    work: impl FnOnce() -> T + Send + 'static,
) -> Deferred<T> {
    let (trigger, deferred) = Deferred::new();
    // The trigger cannot leave this thread; the inlet that leads to it can.
    let trigger = Cell::new(Some(trigger));
    let inlet = reactor.inlet(move |_, result: Result<T, String>| {
        if let Some(trigger) = trigger.take() {
            trigger.fire(result.map_err(|message| Panicked(message).into()));
        }
    });
    let unused = inlet.clone();
    let spawned = thread::Builder::new().spawn(move || {
        // It fails if the reactor is gone.
        let _ = inlet.send_last(panics::contain(work));
    });
    match spawned {
        Ok(_) => deferred,
        Err(error) => {
            reactor.forget_inlet(&unused);
            Deferred::fail(error)
        }
    }
}
