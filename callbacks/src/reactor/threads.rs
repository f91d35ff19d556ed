//! Calls from other threads: they queue up, and wake the loop to run them.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::wake::Wake;
use super::{Core, Reactor};
use crate::log;

type Call = Box<dyn FnOnce(&Reactor) + Send>;

/// A handle to a reactor for other threads. Clones are the same reactor.
#[derive(Clone)]
pub struct RemoteReactor {
    shared: Arc<Shared>,
}

struct Shared {
    calls: Mutex<Option<VecDeque<Call>>>,
    /// Whether calls wait; read once a turn, without the lock.
    any: AtomicBool,
    wake: Wake,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reactor's end of its [`RemoteReactor`]s.
pub(super) struct Mailbox {
    shared: Arc<Shared>,
}

impl RemoteReactor {
    /// Runs `call` in the reactor's thread, after all earlier calls of this thread (R7).
    ///
    /// ```
    /// use callbacks::Reactor;
    ///
    /// let reactor = Reactor::open()?;
    /// let remote = reactor.remote();
    /// let thread = std::thread::spawn(move || {
    ///     remote.call_from_thread(|reactor| reactor.stop().unwrap())
    /// });
    /// reactor.run().unwrap(); // Until the call stops it.
    /// thread.join().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the reactor is gone; `call` is then dropped.
    pub fn call_from_thread(&self, call: impl FnOnce(&Reactor) + Send + 'static) -> io::Result<()> {
        let first = {
            let mut calls = self.shared.lock();
            let Some(calls) = &mut *calls else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            calls.push_back(Box::new(call));
            !self.shared.any.swap(true, Ordering::Release)
        };
        if first {
            self.shared.wake.wake();
        }
        Ok(())
    }
}

impl Reactor {
    /// Returns a handle for other threads.
    pub fn remote(&self) -> RemoteReactor {
        RemoteReactor {
            shared: Arc::clone(&self.core().mailbox.shared),
        }
    }
}

impl Mailbox {
    pub(super) fn new(wake: Wake) -> Self {
        Self {
            shared: Arc::new(Shared {
                calls: Mutex::new(Some(VecDeque::new())),
                any: AtomicBool::new(false),
                wake,
            }),
        }
    }

    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        self.shared.any.load(Ordering::Acquire)
    }

    /// Runs the calls that wait. Calls made by these wait for the next turn.
    pub(super) fn run(&self, core: &Rc<Core>) {
        if !self.has_mail() {
            return;
        }
        let calls = {
            let mut calls = self.shared.lock();
            self.shared.any.store(false, Ordering::Release);
            calls.as_mut().map(mem::take).unwrap_or_default()
        };
        let reactor = Reactor {
            core: Rc::clone(core),
        };
        for call in calls {
            log::contained(|| call(&reactor));
        }
    }

    /// Accepts no more calls, and drops those that wait.
    pub(super) fn close(&self) {
        let calls = self.shared.lock().take();
        drop(calls);
    }
}

/// Passes values from any thread to a function that stays in the reactor's thread. Clones are the same inlet.
///
/// ```
/// use callbacks::Reactor;
/// use std::{cell::Cell, rc::Rc};
///
/// let (reactor, sum) = (Reactor::open()?, Rc::new(Cell::new(0)));
/// let sums = Rc::clone(&sum); // An `Rc`, which is not `Send`.
/// let inlet = reactor.inlet(move |reactor, number: u32| {
///     sums.set(sums.get() + number);
///     if number == 3 {
///         reactor.stop().unwrap();
///     }
/// });
/// let thread = std::thread::spawn(move || (1..=3).try_for_each(|number| inlet.send(number)));
/// reactor.run().unwrap();
/// thread.join().unwrap()?;
/// assert_eq!(sum.get(), 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Inlet<T> {
    remote: RemoteReactor,
    key: usize,
    types: PhantomData<fn(T)>,
}

/// The functions behind inlets, by number; each has its own type.
pub(super) type Inlets = Slab<Rc<dyn Any>>;
/// A function behind an inlet.
type Handler<T> = Rc<dyn Fn(&Reactor, T)>;

impl Reactor {
    /// Creates a way for other threads to call `handler`, which need not be `Send`. The handler lives as long as the
    /// reactor.
    pub fn inlet<T: Send + 'static>(&self, handler: impl Fn(&Reactor, T) + 'static) -> Inlet<T> {
        let handler: Handler<T> = Rc::new(handler);
        let core = self.core();
        // A closed reactor keeps no handlers; sending to the inlet fails.
        let key = match core.is_closed() {
            true => usize::MAX,
            false => core.inlets.borrow_mut().insert(Rc::new(handler)),
        };
        Inlet {
            remote: self.remote(),
            key,
            types: PhantomData,
        }
    }

    /// Drops the handler of `inlet`, which must have no clones.
    pub(crate) fn forget_inlet<T>(&self, inlet: &Inlet<T>) {
        let handler = self.core().inlets.borrow_mut().try_remove(inlet.key);
        drop(handler);
    }
}

impl<T: Send + 'static> Inlet<T> {
    /// Calls the handler with `value` in the reactor's thread, in the order of [`RemoteReactor::call_from_thread`].
    ///
    /// # Errors
    /// Fails if the reactor is gone; `value` is then dropped.
    pub fn send(&self, value: T) -> io::Result<()> {
        self.call(value, |inlets, key| inlets.get(key).cloned())
    }

    /// As [`send`](Self::send), and drops the handler after the call. There must be no clones.
    pub(crate) fn send_last(self, value: T) -> io::Result<()> {
        self.call(value, Slab::try_remove)
    }

    fn call(
        &self,
        value: T,
        find: fn(&mut Inlets, usize) -> Option<Rc<dyn Any>>,
    ) -> io::Result<()> {
        let key = self.key;
        self.remote.call_from_thread(move |reactor| {
            let handler = find(&mut reactor.core().inlets.borrow_mut(), key);
            let handler = handler
                .as_deref()
                .and_then(<dyn Any>::downcast_ref::<Handler<T>>);
            if let Some(handler) = handler {
                handler(reactor, value);
            }
        })
    }

    /// Returns the reactor it leads to.
    pub fn remote(&self) -> &RemoteReactor {
        &self.remote
    }
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self {
            remote: self.remote.clone(),
            key: self.key,
            types: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Inlet<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Inlet")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RemoteReactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RemoteReactor").finish_non_exhaustive()
    }
}
