//! Poets in memory, on a test clock: their patience.

use std::net::SocketAddr;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{Clock, Peer};

use super::*;
use crate::process::TestClock;
use crate::testing::{self, Pipe};

const SECOND: Duration = Duration::from_secs(1);

/// A fetch of one poem from a peer in memory, one port of its own to each test.
struct One {
    node: Node,
    clock: TestClock,
    outcomes: mpsc::Receiver<Vec<Outcome>>,
}

impl One {
    fn fetch(port: u16, limits: Limits) -> Self {
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 9], port));
        let observer = Arc::new(Unobserved);
        let fetch = Arc::new(Fetch {
            requests: vec![FetchRequest {
                peer: Peer::from(address),
                via: None,
            }],
            limits,
            reporter: Reporter::new(NAME, Role::PoemClient, Clock::stopped(), observer),
        });
        let (done, outcomes) = mpsc::channel();
        let fetcher = Fetcher::<Pipe>::new(fetch, Cancel::new(), done);
        node.arbiter(0)
            .spawn(Name::new("fetcher"), || Ok((fetcher, NoPort)));
        clock.settle();
        Self {
            node,
            clock,
            outcomes,
        }
    }

    /// The word for how it ended, if it has.
    fn ended(&self) -> Option<&'static str> {
        let outcome = self.outcomes.try_iter().next()?.remove(0);
        Some(
            outcome
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
