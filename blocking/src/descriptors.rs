//! The descriptors of one client: a fetch that gets none waits here until another fetch of the client has ended its
//! connection (S15). A proxy also keeps a spare one (S9).

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::limits::ACCEPT_RETRY;

use crate::net::{self, Unconnected};

/// The connections that the fetches of one client hold.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    state: Mutex<State>,
    changed: Condvar,
    /// Unconnected sockets that a proxy keeps for its fetch, one for each family of its upstream. Otherwise its own clients
    /// could take all descriptors and wait for a fetch that has none. The socket is connected, not closed for another: no
    /// other thread can take its descriptor meanwhile.
    spares: Mutex<Vec<Spare>>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    /// Connections that have ended.
    ended: u64,
    /// When the last one that was held ended.
    none_since: Duration,
    /// Whether a thread is about to try again although none is held. One is enough.
    retrying: bool,
}

/// A connection that is held. Dropping it lets one waiting fetch try again.
#[derive(Debug)]
pub(crate) struct Held<'d>(&'d Descriptors);

/// How long a fetch waits for a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Since when it has waited.
    pub(crate) since: Duration,
    /// While no connection is held.
    pub(crate) without_any: Duration,
    /// In all cases.
    pub(crate) deadline: Option<Duration>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There may be a descriptor now.
    TryAgain,
    /// The fetch is no longer wanted.
    Unwanted,
    /// None was held and none became free for too long.
    InVain,
    /// The deadline has passed.
    DeadlinePassed,
}

impl Descriptors {
    /// Creates the descriptors of a client of `addresses` that keeps spare sockets.
    pub(crate) fn with_spares(addresses: &[SocketAddr]) -> Self {
        let first = |is_ipv4| addresses.iter().find(move |one| one.is_ipv4() == is_ipv4);
        let spares = [true, false].into_iter().filter_map(first).copied();
        Self {
            spares: Mutex::new(spares.map(Spare::like).collect()),
            ..Self::default()
        }
    }

    /// Takes the spare socket for `address`, if there is one.
    pub(crate) fn take_spare(&self, address: SocketAddr) -> Option<Unconnected> {
        (self.spares().iter_mut()).find_map(|spare| spare.take_for(address))
    }

    /// Makes those spare sockets again that have been taken.
    pub(crate) fn refill_spares(&self) {
        self.spares().iter_mut().for_each(Spare::refill);
    }

    /// Notes that a connection is held.
    pub(crate) fn hold(&self) -> Held<'_> {
        let mut state = self.state();
        state.held += 1;
        Held(self)
    }

    /// Returns how many connections have ended; to be asked before one is tried, for [`wait`](Self::wait).
    pub(crate) fn ended(&self) -> u64 {
        self.state().ended
    }

    /// Waits until a connection ends, if none has since `ended` was asked. If none is held, waits for [`ACCEPT_RETRY`].
    ///
    /// A connection that ends wakes one fetch, and a fetch that does not try again wakes another.
    pub(crate) fn wait(
        &self,
        ended: u64,
        patience: Patience,
        is_wanted: impl Fn() -> bool,
    ) -> Waited {
        let deadline = patience.deadline.unwrap_or(Duration::MAX);
        let mut state = self.state();
        loop {
            let now = net::now();
            if !is_wanted() || now >= deadline {
                self.changed.notify_one();
                return if is_wanted() {
                    Waited::DeadlinePassed
                } else {
                    Waited::Unwanted
                };
            }
            if state.ended != ended {
                return Waited::TryAgain;
            }
            let mut until = deadline;
            if state.held == 0 {
                let since = patience.since.max(state.none_since);
                let in_vain = since.saturating_add(patience.without_any);
                if now >= in_vain {
                    self.changed.notify_all(); // They have waited in vain, too.
                    return Waited::InVain;
                }
                until = until.min(in_vain);
                if !state.retrying {
                    state.retrying = true;
                    let retry = ACCEPT_RETRY.min(until - now);
                    state = self.wait_for(state, retry);
                    state.retrying = false;
                    if is_wanted() && net::now() < until {
                        return Waited::TryAgain;
                    }
                    continue;
                }
            }
            state = self.wait_for(state, until - now);
        }
    }

    /// Wakes every waiting fetch, to look whether it is still wanted.
    pub(crate) fn wake_all(&self) {
        let _state = self.state(); // A fetch that has looked already waits by now.
        self.changed.notify_all();
    }

    fn wait_for<'s>(
        &self,
        state: MutexGuard<'s, State>,
        at_most: Duration,
    ) -> MutexGuard<'s, State> {
        let woken = self.changed.wait_timeout(state, at_most);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The spares are consistent after every statement, so a poisoned lock does no harm.
    fn spares(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state is consistent whenever its lock is free, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.refill_spares();
        let mut state = self.0.state();
        state.held -= 1;
        state.ended += 1;
        state.none_since = net::now();
        drop(state);
        self.0.changed.notify_one();
    }
}

/// An unconnected socket, kept for an address of one family.
#[derive(Debug)]
struct Spare {
    like: SocketAddr,
    socket: Option<Unconnected>,
}

impl Spare {
    /// Makes a socket for addresses like this one.
    fn like(like: SocketAddr) -> Self {
        let socket = net::unconnected(like).ok();
        Self { like, socket }
    }

    /// Makes another socket if this one has been taken.
    fn refill(&mut self) {
        self.socket = self
            .socket
            .take()
            .or_else(|| net::unconnected(self.like).ok());
    }

    /// Takes the socket, if there is one and it can connect to `address`.
    fn take_for(&mut self, address: SocketAddr) -> Option<Unconnected> {
        let fits = address.is_ipv4() == self.like.is_ipv4();
        self.socket.take_if(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    const HOUR: Duration = Duration::from_secs(3_600);
    const PATIENT: Patience = Patience {
        since: Duration::ZERO,
        without_any: HOUR,
        deadline: None,
    };

    /// A number of descriptors that threads take and return, each of which waits if there is none.
    fn take_in_turns(threads: usize, descriptors_max: usize) {
        let descriptors = Descriptors::default();
        let free = AtomicUsize::new(descriptors_max);
        let take = || {
            free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(1)
            })
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let ended = descriptors.ended();
                        if take().is_ok() {
                            let held = descriptors.hold();
                            thread::yield_now();
                            free.fetch_add(1, Ordering::AcqRel);
                            drop(held);
                            return;
                        }
                        let waited = descriptors.wait(ended, PATIENT, || true);
                        assert_eq!(waited, Waited::TryAgain);
                    }
                });
            }
        });
        assert_eq!(descriptors.state().held, 0);
        assert_eq!(descriptors.ended(), threads as u64);
    }

    #[test]
    fn s9_a_spare_socket_is_kept_for_each_family_and_again_after_a_connection() {
        let addresses = ["127.0.0.1:1", "[::1]:1", "127.0.0.2:1"].map(|one| one.parse().unwrap());
        let descriptors = Descriptors::with_spares(&addresses);
        let [v4, v6, other_v4] = addresses;
        assert!(descriptors.take_spare(other_v4).is_some());
        assert!(descriptors.take_spare(v4).is_none());
        assert!(descriptors.take_spare(v6).is_some());
        assert!(descriptors.take_spare(v6).is_none());
        drop(descriptors.hold());
        assert!(descriptors.take_spare(v4).is_some());
        assert!(descriptors.take_spare(v6).is_some());
    }

    #[test]
    fn s15_every_fetch_gets_its_turn_for_few_descriptors() {
        take_in_turns(50, 1);
        take_in_turns(200, 7);
    }

    #[test]
    fn s15_a_connection_that_ended_before_the_wait_is_not_waited_for() {
        let descriptors = Descriptors::default();
        let (first, _second) = (descriptors.hold(), descriptors.hold());
        let ended = descriptors.ended();
        drop(first);
        assert_eq!(descriptors.wait(ended, PATIENT, || true), Waited::TryAgain);
    }

    #[test]
    fn s15_without_a_connection_a_fetch_tries_again_until_its_patience_is_over() {
        let descriptors = Descriptors::default();
        let impatient = Patience {
            since: net::now(),
            without_any: 3 * ACCEPT_RETRY,
            deadline: None,
        };
        let wait = || {
            let mut tries = 0;
            while descriptors.wait(0, impatient, || true) == Waited::TryAgain {
                tries += 1;
            }
            tries
        };
        // Each of the four waits in vain; together they try as often as one.
        let tries = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(wait));
            threads
                .map(|thread| thread.join().unwrap())
                .iter()
                .sum::<u32>()
        });
        assert!(tries <= 3, "{tries}");
    }

    #[test]
    fn s14_a_fetch_that_is_cancelled_or_late_ends_its_wait_and_wakes_another() {
        let descriptors = Descriptors::default();
        let held = descriptors.hold();
        let wanted = AtomicBool::new(true);
        let late = Patience {
            deadline: Some(net::now() + Duration::from_millis(20)),
            ..PATIENT
        };
        thread::scope(|scope| {
            let cancelled =
                scope.spawn(|| descriptors.wait(0, PATIENT, || wanted.load(Ordering::Acquire)));
            let waited = descriptors.wait(0, late, || true);
            assert_eq!(waited, Waited::DeadlinePassed);
            wanted.store(false, Ordering::Release);
            descriptors.wake_all();
            assert_eq!(cancelled.join().unwrap(), Waited::Unwanted);
        });
        drop(held);
    }
}
