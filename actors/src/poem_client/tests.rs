//! Poets in memory, on a test clock: their patience.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poetry::cancel::Target;
use poetry::event::Interest;
use poetry::{Clock, Event, Kind, Peer, Via};

use super::*;
use crate::process::TestClock;
use crate::testing::{self, Pipe};

const SECOND: Duration = Duration::from_secs(1);

/// A fetch of one poem from a peer in memory, one port of its own to each test.
struct One {
    node: Node,
    clock: TestClock,
    fetcher: Pid<ToFetcher>,
    outcomes: mpsc::Receiver<Vec<Outcome>>,
    failures: Arc<Failures>,
}

/// Who has said that something failed, and how.
#[derive(Default)]
struct Failures(Mutex<Vec<(Role, &'static str)>>);

impl Observer for Failures {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if let Kind::Failed(failure) = &event.kind {
            let said = (event.role, failure.status());
            self.0.lock().unwrap().push(said);
        }
    }
}

impl One {
    fn fetch(port: u16, limits: Limits) -> Self {
        Self::fetch_via(port, None, limits)
    }

    fn fetch_via(port: u16, via: Option<Via>, limits: Limits) -> Self {
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let peer = Peer::from(address(port));
        let failures = Arc::new(Failures::default());
        let observer = Arc::clone(&failures) as Arc<dyn Observer>;
        let options = Options {
            limits,
            ..Options::new(ticking())
        };
        let requests = vec![FetchRequest { peer, via }];
        let fetch = Arc::new(Fetch::new(requests, &options, observer));
        let (done, outcomes) = mpsc::channel();
        let fetcher = Fetcher::<Pipe>::new(fetch, Cancel::new(), done);
        let fetcher = node
            .arbiter(0)
            .spawn(Name::new("fetcher"), || Ok((fetcher, NoPort)));
        clock.settle();
        Self {
            node,
            clock,
            fetcher,
            outcomes,
            failures,
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        Some(self.outcomes.try_iter().next()?.remove(0))
    }

    /// The word for how it ended, if it has.
    fn ended(&self) -> Option<&'static str> {
        Some(
            self.outcome()?
                .poem
                .map_or_else(|error| error.failure.status(), |_| "arrived"),
        )
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.node.stop();
    }
}

/// Every look at it is an hour later.
fn ticking() -> Clock {
    let looks = AtomicU32::new(0);
    Clock::new(move || 3_600 * SECOND * looks.fetch_add(1, Ordering::Relaxed))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 9], port))
}

#[test]
fn s15_nobody_answers_for_the_connect_timeout() {
    let one = One::fetch(1, Limits::default());
    one.clock.advance(9 * SECOND);
    assert_eq!(one.ended(), None);
    one.clock.advance(SECOND);
    assert_eq!(one.ended(), Some("connection_failed"));
}

#[test]
fn s15_silence_is_borne_for_the_idle_timeout_and_every_byte_refreshes_it() {
    let peer = testing::listen(address(2));
    let one = One::fetch(2, Limits::default());
    one.clock.advance(59 * SECOND);
    peer.send(b"Stars");
    one.clock.advance(59 * SECOND);
    assert_eq!((one.ended(), peer.ended().1), (None, false));
    one.clock.advance(SECOND);
    assert_eq!((one.ended(), peer.ended().1), (Some("timed_out"), true));
}

#[test]
fn s15_the_total_deadline_is_not_refreshed() {
    let peer = testing::listen(address(3));
    let total_deadline = Some(30 * SECOND);
    let one = One::fetch(
        3,
        Limits {
            total_deadline,
            ..Limits::default()
        },
    );
    for _ in 0..29 {
        peer.send(b"la ");
        one.clock.advance(SECOND);
    }
    assert_eq!(one.ended(), None);
    one.clock.advance(SECOND);
    assert_eq!(one.ended(), Some("timed_out"));
}

#[test]
fn s12_a_poem_is_what_came_before_fin() {
    let peer = testing::listen(address(4));
    let one = One::fetch(4, Limits::default());
    for byte in "Sterne fällen".as_bytes() {
        peer.send(&[*byte]);
        one.clock.settle();
    }
    assert_eq!(one.ended(), None);
    peer.finish();
    one.clock.settle();
    assert_eq!(one.ended(), Some("arrived"));
}

#[test]
fn s14_a_cancel_during_the_transform_is_one_failure_and_closes_its_socket() {
    let (poem, transformer) = (testing::listen(address(5)), testing::listen(address(6)));
    let via = Via {
        transform: "shout".to_owned(),
        peer: Peer::from(address(6)),
    };
    let one = One::fetch_via(5, Some(via), Limits::default());
    poem.send(b"Stars");
    poem.finish();
    one.clock.settle();
    assert_eq!(transformer.received(), b"11:shout.Stars,");
    one.node
        .send(&one.fetcher, ToFetcher::Cancel(Target::Task(0)));
    one.clock.settle();
    assert_eq!(one.ended(), Some("cancelled"));
    assert_eq!(
        *one.failures.0.lock().unwrap(),
        [(Role::PoemClient, "cancelled")]
    );
    assert!(transformer.ended().1);
}

#[test]
fn s22_the_time_a_fetch_took_is_told_by_the_clock_it_was_given() {
    let peer = testing::listen(address(7));
    let one = One::fetch(7, Limits::default());
    one.clock.advance(SECOND);
    peer.finish();
    one.clock.settle();
    let outcome = one.outcome().unwrap();
    assert_eq!(outcome.poem.as_deref(), Ok(""));
    assert!(outcome.elapsed >= 3_600 * SECOND);
}
