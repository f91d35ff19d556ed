//! Who takes a fetch, and when a thread is wanted for one.

use super::*;
use poetry::event::Unobserved;
use poetry::{Peer, Role};
use std::sync::Arc;

/// What is true of `poems` fetches that lead nowhere, `fetches_max` of which may be under way at once.
fn with_fetches<T>(poems: usize, fetches_max: usize, check: impl FnOnce(&Fetches<'_>) -> T) -> T {
    let request = FetchRequest {
        peer: Peer::unresolved("nowhere", "it was not asked for"),
        via: None,
    };
    let requests = vec![request; poems];
    let (buffers, cancel) = (Buffers::default(), Cancel::new());
    let (clock, sockets) = (Clock::stopped(), Sockets::new(poems));
    let limits = Limits {
        fetches_max,
        ..Limits::default()
    };
    let observer = Arc::new(Unobserved);
    check(&Fetches::begin(Call {
        requests: &requests,
        limits: &limits,
        clock: &clock,
        buffers: &buffers,
        reporter: Reporter::new("test", Role::PoemClient, clock.clone(), observer),
        cancel: &cancel,
        sockets: &sockets,
    }))
}

#[test]
fn every_fetch_is_taken_once_and_in_order_those_that_wait_their_turn_too() {
    with_fetches(5, 3, |fetches| {
        assert_eq!(fetches.at_once(), 3);
        let taken = std::iter::from_fn(|| fetches.take()).map(|(index, _)| index);
        assert_eq!(taken.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(fetches.take().is_none());
    });
}

#[test]
fn t1_a_thread_is_wanted_at_once_in_the_burst_and_beyond_it_when_its_turn_has_come() {
    with_fetches(2, 2, |fetches| {
        let now = net::now();
        assert!(fetches.wants_thread(pace::AT_ONCE - 1, now));
        assert!(fetches.wants_thread(pace::AT_ONCE, now));
        assert!(net::now() - now >= pace::due(pace::AT_ONCE));
    });
}

/// Or this would wait for weeks.
#[test]
fn t1_no_thread_is_wanted_when_nothing_is_left_to_take() {
    with_fetches(2, 2, |fetches| {
        thread::scope(|scope| {
            let takes = || while fetches.take().is_some() {};
            scope.spawn(takes);
            assert!(!fetches.wants_thread(u32::MAX, net::now()));
        });
    });
}
