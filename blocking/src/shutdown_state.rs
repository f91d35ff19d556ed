//! One atomic byte for each connection, through which its thread and a shutdown learn of each other (S21).
//!
//! [`Connection`](crate::connection::Connection) keeps an order: it marks itself **busy before it counts the bytes of a
//! request** (`received`), and **idle before it writes the last reply** (`write_replies`). So a shutdown that begins after
//! an observer saw the bytes finds the connection busy, and one that begins after the client has its reply finds it idle.

use std::sync::atomic::{AtomicU8, Ordering};

/// The state of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Nothing is in flight.
    Idle,
    /// Something is in flight.
    Busy,
    /// The shutdown found it idle, and closes it.
    Closing,
    /// The shutdown found it busy: it may finish what is in flight, and then closes.
    Last,
    /// The grace is over, and the shutdown has closed it.
    Cut,
}

/// The state of one connection, shared by its thread and a shutdown.
#[derive(Debug)]
pub(crate) struct ShutdownState(AtomicU8);

impl ShutdownState {
    /// Creates the state of a connection that begins with something in flight, or idle.
    pub(crate) fn new(in_flight: bool) -> Self {
        let state = if in_flight { State::Busy } else { State::Idle };
        Self(AtomicU8::new(state as u8))
    }

    /// The thread notes that nothing is in flight. Returns false if a shutdown wants the connection closed.
    #[inline]
    pub(crate) fn mark_idle(&self) -> bool {
        self.is(State::Idle) || self.change(State::Busy, State::Idle)
    }

    /// The thread notes that something is in flight. Returns false if a shutdown has closed the connection.
    #[inline]
    pub(crate) fn mark_busy(&self) -> bool {
        self.change(State::Idle, State::Busy) || self.is(State::Busy) || self.is(State::Last)
    }

    /// Returns whether the connection was closed because the grace was over.
    pub(crate) fn is_cut(&self) -> bool {
        self.is(State::Cut)
    }

    /// A shutdown begins. Returns true if something is in flight, which may still finish; if not, the shutdown closes the
    /// connection.
    pub(crate) fn begin_shutdown(&self) -> bool {
        !self.change(State::Idle, State::Closing) && self.change(State::Busy, State::Last)
    }

    /// The grace is over, and the shutdown closes the connection. One that it found idle is owed nothing, and is closing.
    pub(crate) fn cut(&self) {
        let closing = State::Closing as u8;
        let unless_closing = |state| (state != closing).then_some(State::Cut as u8);
        // It fails if the connection is closing.
        let _ = (self.0).fetch_update(Ordering::AcqRel, Ordering::Acquire, unless_closing);
    }

    fn is(&self, state: State) -> bool {
        self.0.load(Ordering::Acquire) == state as u8
    }

    /// Thread and shutdown compete for each change, and exactly one of them wins it. Acquire and release order the change
    /// with what either did before it.
    #[inline]
    fn change(&self, from: State, to: State) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s21_a_shutdown_closes_an_idle_connection_and_its_thread_learns_of_it() {
        let state = ShutdownState::new(false);
        assert!(state.mark_busy() && state.mark_idle());
        assert!(!state.begin_shutdown());
        assert!(!state.mark_busy() && !state.mark_idle());
    }

    #[test]
    fn s21_a_connection_that_a_shutdown_found_idle_is_not_cut() {
        let state = ShutdownState::new(false);
        assert!(!state.begin_shutdown());
        state.cut();
        assert!(!state.is_cut() && !state.mark_busy());
    }

    #[test]
    fn s21_what_a_shutdown_finds_in_flight_goes_on_and_is_the_last() {
        let state = ShutdownState::new(true);
        assert!(state.begin_shutdown());
        assert!(state.mark_busy() && !state.is_cut());
        assert!(!state.mark_idle());
        state.cut();
        assert!(state.is_cut() && !state.mark_busy());
    }
}
