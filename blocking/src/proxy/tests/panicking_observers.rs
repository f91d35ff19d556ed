//! Observers that panic while clients wait.

use super::*;

/// Panics at the first event of a kind in the role of the client, and sends all others on.
struct PanicsOnce(Interest, std::sync::atomic::AtomicBool, Passes);

impl Observer for PanicsOnce {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        use std::sync::atomic::Ordering::Relaxed;
        let panics = self.0.meets(event.kind.interest()) && event.role == Role::PoemClient;
        assert!(
            !(panics && self.1.swap(false, Relaxed)),
            "the observer panics"
        );
        self.2.observe(event);
    }
}

#[test]
fn s20_a_panic_during_the_fetch_resets_the_clients_that_wait_and_costs_nothing_else() {
    panics::silence_contained();
    // A fetch that fails before the test plays its upstream may have one client only.
    for (at, count) in [
        (Interest::CONNECTING, 1),
        (Interest::CONNECTED, 1),
        (Interest::READ, 3),
        (Interest::FINISHED, 3),
    ] {
        let (sender, events) = mpsc::channel();
        let observer = PanicsOnce(at, true.into(), Passes(sender));
        let mut fixture =
            Fixture::observed(Limits::default(), None, None, Arc::new(observer), events);
        let clients: Vec<_> = (0..count).map(|_| fixture.connect()).collect();
        fixture.until(|counts| counts.requests == count);
        if at != Interest::CONNECTING {
            let _ = fixture.fetch().write_all(b"Ahoy");
        }
        clients.iter().for_each(assert_reset);
        let [next] = fixture.waiting();
        fixture.fetch().write_all(b"Ahoy").unwrap();
        assert_eq!(read(&next), "Ahoy");
        let counts = fixture.shutdown(DEADLINE).counters;
        assert_eq!((counts.fetches.failed, counts.fetches.cached), (1, 1));
        assert_eq!((counts.closed.upstream, counts.closed.done), (count, 1));
        let panicked = |event: &Event| matches!(&event.kind, Kind::Panicked(_));
        assert_eq!(fixture.events.try_iter().filter(panicked).count(), 1);
    }
}

/// Panics when a byte of a client is read, which happens in the client's second thread.
struct PanicsAtReads(Passes);

impl Observer for PanicsAtReads {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        let panics = event.role == Role::Proxy && matches!(event.kind, Kind::Read { .. });
        assert!(!panics, "the observer panics");
        self.0.observe(event);
    }
}

#[test]
fn s20_a_panic_in_the_second_thread_of_a_client_costs_that_client() {
    panics::silence_contained();
    let (sender, events) = mpsc::channel();
    let observer = Arc::new(PanicsAtReads(Passes(sender)));
    let mut fixture = Fixture::observed(Limits::default(), None, None, observer, events);
    let [mut sends, silent] = fixture.waiting();
    sends.write_all(b"x").unwrap();
    assert_reset(&sends);
    fixture.fetch().write_all(b"Ahoy").unwrap();
    assert_eq!(read(&silent), "Ahoy");
    drop(silent);
    let counts = fixture.shutdown(DEADLINE).counters;
    assert_eq!((counts.closed.panic, counts.closed.done), (1, 1));
    assert_eq!(counts.fetches.cached, 1);
}
