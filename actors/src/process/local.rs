//! What the processes of one arbiter share: their deadlines, their rounds, a read buffer and a scratch buffer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use poetry::limits::READ_BUFFER_BYTES;

use super::node::Node;
use super::rounds::Rounds;
use crate::net;
use crate::timers::{Key, Time, Timers};

/// One arbiter's part of a node.
pub(super) struct Local {
    pub(super) node: Node,
    /// The index of the arbiter.
    pub(super) worker: u32,
    pub(super) timers: Timers,
    pub(super) rounds: Rounds,
    /// Lent to a port for one read, so that an idle connection owns no buffer.
    pub(super) read_buffer: RefCell<Box<[u8]>>,
    /// An empty buffer, or none while a process has borrowed it.
    pub(super) scratch: Cell<Vec<u8>>,
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

impl Local {
    /// Returns the current thread's arbiter, if the thread is one.
    pub(super) fn current() -> Option<Rc<Self>> {
        LOCAL.with_borrow(Clone::clone)
    }

    /// Makes the current thread ready to run processes.
    pub(super) fn install(node: Node, worker: u32, time: Time) {
        let local = Rc::new(Local {
            node,
            worker,
            timers: Timers::new(time.clone()),
            rounds: Rounds::default(),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            scratch: Cell::default(),
        });
        LOCAL.set(Some(Rc::clone(&local)));
        let in_rounds = Rc::clone(&local);
        actix::spawn(async move { in_rounds.rounds.drive().await });
        if let Time::Real(_) = time {
            actix::spawn(async move { net::drive(&local.timers).await });
        }
    }
}

/// Awaits `future` for at most `wait`; returns `None` when that is over.
pub(crate) async fn timeout<F: Future>(
    wait: Duration,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let Some(local) = Local::current() else {
        return Some(future.await);
    };
    let due = local.timers.now().saturating_add(wait);
    let mut alarm = Alarm { local, key: None };
    poll_fn(|turn| {
        if let Poll::Ready(output) = future.as_mut().poll(turn) {
            return Poll::Ready(Some(output));
        }
        let timers = &alarm.local.timers;
        if due <= timers.now() {
            return Poll::Ready(None);
        }
        if alarm.key.is_none() {
            alarm.key = Some(timers.insert(due, turn.waker().clone()));
        }
        Poll::Pending
    })
    .await
}

/// An entry among the arbiter's deadlines; dropping it cancels the entry.
pub(super) struct Alarm {
    local: Rc<Local>,
    key: Option<Key>,
}

impl Alarm {
    /// Wakes `waker` at `due`.
    pub(super) fn set(local: Rc<Local>, due: Duration, waker: Waker) -> Self {
        let key = Some(local.timers.insert(due, waker));
        Self { local, key }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.local.timers.cancel(key);
        }
    }
}
