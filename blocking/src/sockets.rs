//! The connections of one call of a client, so that a cancel can find them (S14).

use std::sync::{Mutex, MutexGuard, PoisonError};

use poetry::cancel::Target;

use crate::net::HangUp;

/// The connections of one call: a slot for each request.
#[derive(Debug)]
pub(crate) struct Sockets(Box<[Mutex<Option<Holder>>]>);

/// The holder of a connection, and how to hang up on it.
#[derive(Debug)]
pub(crate) enum Holder {
    /// No thread yet: it was begun beforehand.
    None(HangUp),
    /// A thread, which may be blocked in a call.
    Thread(HangUp),
}

impl Sockets {
    /// Creates room for the connections of `requests` requests, one at a time each.
    pub(crate) fn new(requests: usize) -> Self {
        Self((0..requests).map(|_| Mutex::default()).collect())
    }

    // ANCHOR: cancel
    /// Hangs up on the connections of `target`. A cancel of all fetches spares connections without a thread: the threads
    /// that run take them over, read without waiting, and keep a poem that has arrived whole.
    pub(crate) fn cancel(&self, target: Target) {
        let slots = match target {
            Target::All => &self.0[..],
            Target::Task(index) => self.0.get(index..=index).unwrap_or_default(),
        };
        for slot in slots {
            let mut slot = lock(slot);
            match (&*slot, target) {
                (None, _) | (Some(Holder::None(_)), Target::All) => {}
                (Some(Holder::None(hang_up) | Holder::Thread(hang_up)), _) => {
                    hang_up.both_ways();
                    *slot = None;
                }
            }
        }
    }
    // ANCHOR_END: cancel

    /// Registers the connection of request `index`.
    pub(crate) fn register(&self, index: usize, holder: Holder) {
        if let Some(slot) = self.0.get(index) {
            *lock(slot) = Some(holder);
        }
    }

    /// Removes the connection of request `index`, so that a cancel no longer hangs up on it. Returns false if a cancel
    /// already has.
    pub(crate) fn unregister(&self, index: usize) -> bool {
        let slot = self.0.get(index);
        slot.is_some_and(|slot| lock(slot).take().is_some())
    }
}

/// A slot is consistent after every statement, so a poisoned lock does no harm.
fn lock(slot: &Mutex<Option<Holder>>) -> MutexGuard<'_, Option<Holder>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
