//! Turns: the connections of a thread answer in turns, counted in requests (S24).
//!
//! A turn answers at most [`REQUESTS_PER_TURN_MAX`] requests; for the next one the connection waits here. Waiting
//! connections have places in a queue: if A has answered while B waited, A's place is behind B's. So between two turns
//! of a connection that stays ready, no other one has two.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use poetry::event::Wait;
use poetry::limits::REQUESTS_PER_TURN_MAX;
use tokio::task::yield_now;

use crate::watched::noted;

/// Reads that one turn answers. The second read mostly finds nothing, so that a connection with one request at a time
/// waits for input after it, and not for a turn that it does not need.
const READS_PER_TURN: u8 = 2;
/// The place of a connection that does not wait.
const NOWHERE: u64 = 0;
/// Behind every place.
const BEHIND_ALL: u64 = u64::MAX;

/// The turns of one thread.
#[derive(Debug)]
pub(crate) struct Turns {
    waiting: RefCell<BTreeMap<u64, Waker>>,
    /// The first place in `waiting`, or [`BEHIND_ALL`].
    first: Cell<u64>,
    /// The last place given out.
    last: Cell<u64>,
    /// The last place that has been called.
    called: Cell<u64>,
    /// Wakes the task that calls the places.
    caller: RefCell<Option<Waker>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            first: Cell::new(BEHIND_ALL),
            last: Cell::new(NOWHERE),
            called: Cell::new(NOWHERE),
            caller: RefCell::default(),
        }
    }
}

impl Turns {
    /// Calls the connections that wait, round by round, for ever. One task of the thread runs this.
    ///
    /// tokio wakes a task that yields only after it has polled for I/O. So connections that have become ready during a
    /// round are queued ahead of the next one. (A task that wakes itself is polled up to 61 times before that.)
    pub(crate) async fn run(&self) {
        loop {
            poll_fn(|cx| self.poll_waiting(cx)).await;
            yield_now().await;
            let uncalled = self.called.replace(self.last.get()) + 1;
            let waiting = self.waiting.borrow();
            waiting
                .range(uncalled..)
                .for_each(|(_, waker)| waker.wake_by_ref());
        }
    }

    fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.called.get() < self.last.get() {
            return Poll::Ready(());
        }
        self.caller.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn enter(&self, waker: Waker) -> u64 {
        let place = self.last.get() + 1;
        self.last.set(place);
        self.first.set(self.first.get().min(place));
        self.waiting.borrow_mut().insert(place, waker);
        if let Some(caller) = self.caller.take() {
            caller.wake();
        }
        place
    }

    fn leave(&self, place: u64) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.remove(&place);
        let first = waiting.first_key_value();
        self.first
            .set(first.map_or(BEHIND_ALL, |(&place, _)| place));
    }
}

/// The turns of one connection.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Rc<Turns>,
    /// The last place given out when this connection last answered.
    answered: u64,
    place: u64,
    requests_left: u32,
    reads_left: u8,
}

impl Turn {
    /// A connection that has not had a turn.
    pub(crate) fn new(turns: &Rc<Turns>) -> Self {
        Self {
            turns: Rc::clone(turns),
            answered: NOWHERE,
            place: NOWHERE,
            requests_left: REQUESTS_PER_TURN_MAX,
            reads_left: READS_PER_TURN,
        }
    }

    /// Requests that may still be answered in this turn.
    #[inline]
    pub(crate) fn requests_left(&self) -> u32 {
        self.requests_left
    }

    /// Ready while the connection may answer. The task is woken when its next turn comes.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begins = self.reads_left == READS_PER_TURN;
        let may_answer = if begins {
            self.place == NOWHERE && self.answered < self.turns.first.get()
        } else {
            self.reads_left > 0 && self.requests_left > 0
        };
        match may_answer {
            true => Poll::Ready(()),
            false => self.poll_place(cx),
        }
    }

    #[cold]
    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        noted(self.poll_called(cx), Wait::Turn)
    }

    fn poll_called(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end();
        if self.place == NOWHERE {
            self.place = self.turns.enter(cx.waker().clone());
            return Poll::Pending;
        }
        if self.place > self.turns.called.get() {
            return Poll::Pending;
        }
        if self.place > self.turns.first.get() {
            // I/O has woken this task ahead of others that have been called, which are in the run queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turns.leave(self.place);
        self.place = NOWHERE;
        Poll::Ready(())
    }

    /// Counts requests that were answered after one read.
    #[inline]
    pub(crate) fn count(&mut self, requests: u32) {
        self.requests_left -= requests;
        self.reads_left = self.reads_left.saturating_sub(1);
        self.answered = self.turns.last.get();
    }

    /// Ends the turn early: nothing is left to answer.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.requests_left = REQUESTS_PER_TURN_MAX;
        self.reads_left = READS_PER_TURN;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.place != NOWHERE {
            self.turns.leave(self.place);
        }
    }
}

#[cfg(test)]
mod tests;
