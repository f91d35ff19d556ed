//! The rounds of an arbiter (S24). In a round, every process that is ready has one turn; a process that uses up its turn
//! waits for the next round. A round ends when tokio has run all ready tasks and has polled the sockets.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroU64;
use std::task::{Poll, Waker};

/// The number of a round, from 1.
pub(super) type Round = NonZeroU64;

/// The current round, and the processes that wait for the next one.
pub(super) struct Rounds {
    current: Cell<Round>,
    waiting: RefCell<Vec<Waker>>,
    /// Wakes [`Rounds::drive`] while no process waits.
    driver: Cell<Option<Waker>>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            current: Cell::new(NonZeroU64::MIN),
            waiting: RefCell::default(),
            driver: Cell::default(),
        }
    }
}

impl Rounds {
    /// Wakes `waker` in the next round and returns the number of that round. A wake for another reason may come earlier;
    /// [`Rounds::has_come`] tells the two apart.
    pub(super) fn wait_for_next(&self, waker: Waker) -> Round {
        self.waiting.borrow_mut().push(waker);
        self.driver.take().into_iter().for_each(Waker::wake);
        self.next()
    }

    fn next(&self) -> Round {
        self.current.get().saturating_add(1)
    }

    pub(super) fn has_come(&self, round: Round) -> bool {
        round <= self.current.get()
    }

    /// Starts the next round whenever a process waits for it; never returns.
    pub(super) async fn drive(&self) {
        loop {
            poll_fn(|turn| {
                if !self.waiting.borrow().is_empty() {
                    return Poll::Ready(());
                }
                self.driver.set(Some(turn.waker().clone()));
                Poll::Pending
            })
            .await;
            // tokio wakes a task that yields only after all ready tasks have run and the sockets have been polled. The
            // tasks of sockets that became ready are queued before it.
            tokio::task::yield_now().await;
            self.current.set(self.next());
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}
