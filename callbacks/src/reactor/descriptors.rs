//! Connections that wait for a free descriptor (S15), in the order in which they came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::time::Duration;

use poetry::error::is_short_of_descriptors;
use poetry::limits::ACCEPT_RETRY;

use super::system::Driver;
use super::{Core, Reactor};
use crate::deferred::{Deferred, Trigger};
use crate::timers::DelayedCall;

/// The queue for descriptors.
#[derive(Default)]
pub(super) struct Descriptors {
    waiting: RefCell<VecDeque<Waiting>>,
    /// The next look.
    look: Cell<Option<DelayedCall>>,
    /// Whether a descriptor is kept for connections that this end initiates.
    keeps_spare: Cell<bool>,
    spare: Cell<Option<Spare>>,
}

struct Waiting {
    trigger: Trigger<()>,
    error: io::Error,
    patience: Duration,
    /// When it gives up, if this is a time without a connection that may end and leave its descriptor.
    gives_up_at: Option<Duration>,
}

impl Reactor {
    /// Fires when a descriptor is free again, after the system has refused one with `error`. As long as this end has initiated
    /// another connection, that one may leave its descriptor; without any, this fails with `error` after `patience`.
    pub(crate) fn free_descriptor(&self, error: io::Error, patience: Duration) -> Deferred<()> {
        let (trigger, free) = Deferred::new();
        let descriptors = &self.core().descriptors;
        descriptors.waiting.borrow_mut().push_back(Waiting {
            trigger,
            error,
            patience,
            gives_up_at: None,
        });
        if !descriptors.will_look() {
            descriptors.look_later(self.core(), ACCEPT_RETRY);
        }
        free
    }

    /// Keeps a descriptor for a connection that this end will initiate, so that accepted ones cannot hold all of them.
    pub(crate) fn keep_spare_descriptor(&self) {
        let core = self.core();
        core.descriptors.keeps_spare.set(true);
        core.descriptors.renew_spare(core);
    }
}

impl Core {
    /// A connection that this end had initiated has closed.
    pub(super) fn descriptor_freed(self: &Rc<Self>) {
        self.driver.connection_ended();
        self.descriptors.renew_spare(self);
        if self.descriptors.has_waiting() && !self.is_closed() {
            self.descriptors.look_later(self, Duration::ZERO);
        }
    }
}

impl Descriptors {
    fn renew_spare(&self, core: &Core) {
        if self.keeps_spare.get() {
            let spare = self.spare.take().or_else(|| core.driver.spare().ok());
            self.spare.set(spare);
        }
    }

    /// Gives up the descriptor that was kept; returns whether there was one.
    pub(super) fn free_spare(&self) -> bool {
        self.spare.take().is_some()
    }

    fn will_look(&self) -> bool {
        let look = self.look.take();
        let waits = look.as_ref().is_some_and(DelayedCall::is_active);
        self.look.set(look);
        waits
    }

    fn look_later(&self, core: &Rc<Core>, delay: Duration) {
        let weak = Rc::downgrade(core);
        let look = core.clock.call_later(delay, move || Self::look(&weak));
        if let Some(earlier) = self.look.replace(Some(look)) {
            // It fails if that look has been taken.
            let _ = earlier.cancel();
        }
    }

    /// Serves those in front, one descriptor each, as long as there are descriptors.
    fn look(core: &Weak<Core>) {
        let Some(core) = core.upgrade() else { return };
        let descriptors = &core.descriptors;
        drop(descriptors.remove(|one| one.trigger.is_cancelled()));
        while descriptors.has_waiting() && core.driver.has_descriptor() {
            let first = descriptors.waiting.borrow_mut().pop_front();
            if let Some(first) = first {
                first.trigger.callback(());
            }
        }
        for waiting in descriptors.without_patience(&core) {
            waiting.trigger.errback(waiting.error);
        }
        if descriptors.has_waiting() {
            descriptors.look_later(&core, ACCEPT_RETRY);
        }
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Removes those that give up now.
    fn without_patience(&self, core: &Core) -> VecDeque<Waiting> {
        let (now, may_end) = (core.clock.now(), core.driver.has_connections());
        for one in self.waiting.borrow_mut().iter_mut() {
            let until = one.gives_up_at.unwrap_or(now.saturating_add(one.patience));
            one.gives_up_at = (!may_end).then_some(until);
        }
        self.remove(|one| one.gives_up_at.is_some_and(|at| at <= now))
    }

    /// Returns what it removes, because dropping a trigger calls back, which may come here again.
    fn remove(&self, which: impl Fn(&Waiting) -> bool) -> VecDeque<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let (removed, kept) = waiting.drain(..).partition(which);
        *waiting = kept;
        removed
    }

    pub(super) fn clear(&self) {
        self.keeps_spare.set(false);
        drop(self.spare.take());
        drop(self.waiting.take());
    }
}

/// A descriptor kept for later. Dropping it makes room for another socket.
#[derive(Debug)]
struct Spare {
    _poll: mio::Poll,
}

impl Driver {
    fn connection_ended(&self) {
        if let Self::System(system) = self {
            system.group.initiated.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns whether a connection is open, or being made, that a reactor of this group has initiated.
    fn has_connections(&self) -> bool {
        match self {
            Self::System(system) => system.group.initiated.load(Ordering::Relaxed) > 0,
            Self::Memory(network) => network.sockets() > 0,
        }
    }

    /// Takes a descriptor for later, that of a poll.
    fn spare(&self) -> io::Result<Spare> {
        match self {
            Self::System(_) => {
                let poll = mio::Poll::new()?;
                Ok(Spare { _poll: poll })
            }
            Self::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns whether a socket can be made now.
    fn has_descriptor(&self) -> bool {
        match self {
            Self::System(_) => {
                let spare = self.spare();
                !spare.is_err_and(|error| is_short_of_descriptors(&error))
            }
            Self::Memory(network) => network.has_descriptor(),
        }
    }
}
