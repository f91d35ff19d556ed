//! How fetches are taken, and when a further thread is wanted.

use super::*;
use crate::pace::{self, SpawnPace};
use poetry::event::Unobserved;
use poetry::{Peer, Role};
use std::sync::{Arc, mpsc};

/// Checks `poems` fetches from a name that does not resolve, `fetches_max` of which may be under way at once.
fn with_fetches<T>(poems: usize, fetches_max: usize, check: impl FnOnce(&Fetches<'_>) -> T) -> T {
    let nowhere = Peer::unresolved("nowhere", "not resolved");
    with_fetches_from(&nowhere, poems, fetches_max, check)
}

fn with_fetches_from<T>(
    peer: &Peer,
    poems: usize,
    fetches_max: usize,
    check: impl FnOnce(&Fetches<'_>) -> T,
) -> T {
    let request = FetchRequest::new(peer.clone());
    let requests = vec![request; poems];
    let (shared, cancel) = (Shared::default(), Cancel::new());
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
        shared: &shared,
        reporter: Reporter::new("test", Role::PoemClient, clock.clone(), observer),
        cancel: &cancel,
        sockets: &sockets,
    }))
}

#[test]
fn every_fetch_is_taken_once_and_in_order() {
    with_fetches(5, 3, |fetches| {
        assert_eq!(fetches.threads_max(), 3);
        let taken = std::iter::from_fn(|| fetches.take()).map(|(index, _)| index);
        assert_eq!(taken.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(fetches.take().is_none());
    });
}

#[test]
fn t1_a_thread_of_the_burst_is_spawned_at_once_and_a_later_one_when_it_is_due() {
    with_fetches(2, 2, |fetches| {
        let (now, pace) = (net::now(), SpawnPace::start());
        assert!(pace.wait_until_due(pace::BURST - 1, || fetches.want_a_thread()));
        assert!(pace.wait_until_due(pace::BURST, || fetches.want_a_thread()));
        assert!(net::now() - now >= pace::due(pace::BURST));
    });
}

#[test]
fn t1_the_spawning_thread_wakes_when_no_fetch_is_left_to_take() {
    with_fetches(2, 2, |fetches| {
        let (done, stays) = mpsc::channel::<()>();
        thread::scope(|scope| {
            // This thread stays, since the end of the last thread of a scope wakes the spawning one too.
            scope.spawn(move || {
                while fetches.take().is_some() {}
                let _ = stays.recv();
            });
            // Due in ten seconds.
            let (now, pace) = (net::now(), SpawnPace::start());
            let earlier = pace::BURST + 10 * pace::PER_SECOND;
            assert!(!pace.wait_until_due(earlier, || fetches.want_a_thread()));
            assert!(net::now() - now < Duration::from_secs(10));
            drop(done);
        });
    });
}

#[test]
fn connections_are_begun_before_any_thread_is_spawned() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::from(listener.local_addr().unwrap());
    with_fetches_from(&peer, 3, 2, |_| {
        // As many as may be under way; the third begins when one of them has ended.
        let accepted = [listener.accept(), listener.accept()];
        assert!(accepted.iter().all(Result::is_ok));
        listener.set_nonblocking(true).unwrap();
        let none = listener.accept().unwrap_err();
        assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
    });
}
