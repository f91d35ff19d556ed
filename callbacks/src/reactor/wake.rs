//! The wake of a reactor by another thread.

use std::sync::Arc;

use mio::Waker;

/// Wakes a reactor from another thread.
#[derive(Debug, Clone)]
pub(super) enum Wake {
    System(Arc<Waker>),
    /// A test turns its reactor itself.
    Unneeded,
}

impl Wake {
    pub(super) fn wake(&self) {
        match self {
            // This fails only if the kernel has no memory for eight bytes; the reactor's next event wakes it as well.
            Self::System(waker) => drop(waker.wake()),
            Self::Unneeded => {}
        }
    }
}
