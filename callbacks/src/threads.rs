//! Work that would block the reactor, in another thread, with its result back in the reactor (D14): in a thread of its own, or
//! in a bounded pool.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use poetry::panics;

use crate::deferred::{Deferred, Trigger};
use crate::failure::Panicked;
use crate::reactor::{Inlet, Reactor};

mod pool;

pub use pool::ThreadPool;

/// Runs `work` in a new thread; the Deferred fires in the reactor's thread. Cancelling does not stop the thread, but drops
/// its result. A panic in `work` is a [`Panicked`] failure.
///
/// Every call starts a thread. [`defer_to_thread_pool`] bounds their number.
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
    let returning = returning(reactor, trigger);
    let unused = returning.clone();
    let spawned = thread::Builder::new().spawn(move || {
        // It fails if the reactor is gone.
        let _ = returning.send_last(panics::contain(work));
    });
    match spawned {
        Ok(_) => deferred,
        Err(error) => never_begun(reactor, &unused, error),
    }
}

/// As [`defer_to_thread`], in one of the threads of `pool` (Twisted's `deferToThreadPool`). Work waits, in order, until a thread
/// is free. Cancelling work that has not begun means that it never does.
///
/// ```
/// use callbacks::{Reactor, ThreadPool, defer_to_thread_pool, gather_results};
///
/// let (reactor, pool) = (Reactor::open()?, ThreadPool::new(2));
/// let numbers = (0..10).map(|number| defer_to_thread_pool(&reactor, &pool, move || number * number));
/// let context = reactor.clone();
/// let squares = gather_results(numbers.collect()).add_both(move |squares| {
///     context.stop()?;
///     squares
/// });
/// reactor.run().unwrap();
/// assert_eq!(squares.take_result().unwrap().unwrap()[9], 81);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn defer_to_thread_pool<T: Send + 'static>(
    reactor: &Reactor,
    pool: &ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Deferred<T> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let cancels = Arc::clone(&cancelled);
    let (trigger, deferred) = Deferred::with_canceller(move || {
        cancels.store(true, Ordering::Relaxed);
        None
    });
    let returning = returning(reactor, trigger);
    let unused = returning.clone();
    let queued = pool.run(move || {
        let result = match cancelled.load(Ordering::Relaxed) {
            // The Deferred has fired, and drops this.
            true => Err("cancelled".to_owned()),
            false => panics::contain(work),
        };
        // It fails if the reactor is gone.
        let _ = returning.send_last(result);
    });
    match queued {
        Ok(()) => deferred,
        Err(error) => never_begun(reactor, &unused, error),
    }
}

/// Returns the way by which a thread fires `trigger`, which cannot leave the reactor's thread.
fn returning<T: Send + 'static>(
    reactor: &Reactor,
    trigger: Trigger<T>,
) -> Inlet<Result<T, String>> {
    let trigger = Cell::new(Some(trigger));
    reactor.inlet(move |_, result: Result<T, String>| {
        if let Some(trigger) = trigger.take() {
            trigger.fire(result.map_err(|message| Panicked(message).into()));
        }
    })
}

/// The system has refused the thread.
fn never_begun<T: Send + 'static>(
    reactor: &Reactor,
    unused: &Inlet<Result<T, String>>,
    error: io::Error,
) -> Deferred<T> {
    reactor.forget_inlet(unused);
    Deferred::fail(error)
}
