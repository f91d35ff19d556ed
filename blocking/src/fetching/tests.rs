//! Who takes a fetch, and when a thread is wanted for one.

use super::*;
use poetry::event::Unobserved;
use poetry::{Peer, Role};
use std::sync::{Arc, mpsc};

/// What is true of `poems` fetches that lead nowhere, `fetches_max` of which may be under way at once.
fn with_fetches<T>(poems: usize, fetches_max: usize, check: impl FnOnce(&Fetches<'_>) -> T) -> T {
    let nowhere = Peer::unresolved("nowhere", "it was not asked for");
    with_fetches_from(&nowhere, poems, fetches_max, check)
}

fn with_fetches_from<T>(
    peer: &Peer,
    poems: usize,
    fetches_max: usize,
    check: impl FnOnce(&Fetches<'_>) -> T,
) -> T {
    let request = FetchRequest {
        peer: peer.clone(),
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
        assert_eq!(fetches.threads_max(), 3);
        let taken = std::iter::from_fn(|| fetches.take()).map(|(index, _)| index);
        assert_eq!(taken.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(fetches.take().is_none());
    });
}

#[test]
fn t1_a_thread_is_wanted_at_once_in_the_burst_and_beyond_it_when_its_turn_has_come() {
    with_fetches(2, 2, |fetches| {
        let now = net::now();
        assert!(fetches.wants_thread(pace::BURST - 1, now));
        assert!(fetches.wants_thread(pace::BURST, now));
        assert!(net::now() - now >= pace::due(pace::BURST));
    });
}

#[test]
fn t1_who_makes_threads_is_woken_when_nothing_is_left_to_take() {
    with_fetches(2, 2, |fetches| {
        let (done, stays) = mpsc::channel::<()>();
        thread::scope(|scope| {
            // It stays, since a scope wakes its thread too, when the last of its own has ended.
            scope.spawn(move || {
                while fetches.take().is_some() {}
                let _ = stays.recv();
            });
            // A turn that comes in ten seconds.
            let (now, turn) = (net::now(), pace::BURST + 10 * pace::PER_SECOND);
            assert!(!fetches.wants_thread(turn, now));
            assert!(net::now() - now < Duration::from_secs(10));
            drop(done);
        });
    });
}

#[test]
fn connections_are_begun_before_there_is_a_thread_for_any() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::from(listener.local_addr().unwrap());
    with_fetches_from(&peer, 3, 2, |_| {
        // As many as may be under way; the third has its turn when one of them has ended.
        let accepted = [listener.accept(), listener.accept()];
        assert!(accepted.iter().all(Result::is_ok));
        listener.set_nonblocking(true).unwrap();
        let none = listener.accept().unwrap_err();
        assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
    });
}
