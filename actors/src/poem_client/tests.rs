//! Poets in memory, on a test clock: timeouts, cancels, and what becomes of their sockets.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poetry::cancel::Target;
use poetry::event::Interest;
use poetry::{Clock, Event, Kind, Via};

use super::*;
use crate::monitor::Reason;
use crate::process::{Next, Received, TestClock};
use crate::testing::{self, Pipe};

const SECOND: Duration = Duration::from_secs(1);

/// A fetch of one poem from a peer in memory. Each test uses a port of its own.
struct One {
    node: Node,
    clock: TestClock,
    fetcher: Pid<ToFetcher>,
    outcomes: mpsc::Receiver<Vec<Outcome>>,
    failures: Arc<Failures>,
}

/// The failures reported, with their roles.
#[derive(Default)]
struct Failures(Mutex<Vec<(Role, &'static str)>>);

impl Observer for Failures {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        if let Kind::Failed(failure) = &event.kind {
            let reported = (event.role, failure.status());
            self.0.lock().unwrap().push(reported);
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
        let requests = vec![FetchRequest {
            peer,
            name: None,
            via,
        }];
        let settings = Arc::new(FetchSettings::new(&options, observer));
        let (done, outcomes) = mpsc::channel();
        let fetcher = Fetcher::<Pipe>::new(settings, requests, Cancel::new(), done);
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

    /// Returns the status of the failure, or `arrived`, if the fetch has ended.
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

/// A clock that shows an hour more at every reading.
fn ticking() -> Clock {
    let readings = AtomicU32::new(0);
    Clock::new(move || 3_600 * SECOND * readings.fetch_add(1, Ordering::Relaxed))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 9], port))
}

#[test]
fn s15_a_connect_without_an_answer_fails_after_the_connect_timeout() {
    let one = One::fetch(1, Limits::default());
    one.clock.advance(9 * SECOND);
    assert_eq!(one.ended(), None);
    one.clock.advance(SECOND);
    assert_eq!(one.ended(), Some("connection_failed"));
}

#[test]
fn s15_a_silent_peer_times_out_and_every_byte_refreshes_the_timeout() {
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
fn s12_a_poem_ends_with_fin() {
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
fn s22_the_elapsed_time_is_measured_by_the_given_clock() {
    let peer = testing::listen(address(7));
    let one = One::fetch(7, Limits::default());
    one.clock.advance(SECOND);
    peer.finish();
    one.clock.settle();
    let outcome = one.outcome().unwrap();
    assert_eq!(outcome.poem.as_deref(), Ok(""));
    assert!(outcome.elapsed >= 3_600 * SECOND);
}

#[test]
fn s11_a_poet_connected_to_itself_fails_at_once_and_closes_the_socket() {
    let peer = testing::listen_to_itself(address(8));
    let one = One::fetch(8, Limits::default());
    assert_eq!(one.ended(), Some("connection_failed"));
    assert!(peer.ended().1);
}

#[test]
fn s11_a_transformer_connected_to_itself_fails_at_once_and_the_original_is_kept() {
    let (poem, itself) = (
        testing::listen(address(9)),
        testing::listen_to_itself(address(10)),
    );
    let via = Via {
        transform: "shout".to_owned(),
        peer: Peer::from(address(10)),
    };
    let one = One::fetch_via(9, Some(via), Limits::default());
    poem.send(b"Stars");
    poem.finish();
    one.clock.settle();
    let outcome = one.outcome().unwrap();
    assert_eq!(outcome.poem.as_deref(), Ok("Stars"));
    let failure = outcome.transform_failure.unwrap().failure;
    assert_eq!(failure.status(), "connection_failed");
    assert!(itself.ended().1);
}

/// Fetches from `from`, and ends with the first message that is not a poem.
struct Reader(Option<SocketAddr>, mpsc::Sender<Fetched>);

enum ToReader {
    Fetched(Fetched),
    Stop,
}

impl From<Fetched> for ToReader {
    fn from(fetched: Fetched) -> Self {
        Self::Fetched(fetched)
    }
}

impl Process for Reader {
    type Message = ToReader;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.0.into_iter().for_each(|from| drop(me.fetch(from)));
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToReader::Fetched(fetched)) => {
                let _ = self.1.send(fetched);
                Next::Receive
            }
            _ => Next::Exit(Reason::Normal),
        }
    }
}

#[test]
fn s14_a_poet_sends_its_parent_one_message_and_closes_its_socket_if_the_parent_ends() {
    use std::io::{Read, Write};
    let server = testing::real_listener();
    let node = Node::start_one().unwrap();
    let (sender, fetched) = mpsc::channel();
    let from = server.local_addr().unwrap();
    let reader = node.spawn("reader", Reader(Some(from), sender.clone()));
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(b"Stars").unwrap();
    drop(peer);
    let first = fetched.recv_timeout(60 * SECOND).unwrap();
    assert_eq!((first.peer, first.task), (Peer::from(from), 0));
    assert_eq!(first.outcome.poem.as_deref(), Ok("Stars"));

    let second = node.spawn("reader", Reader(Some(from), sender));
    let (mut peer, _) = server.accept().unwrap();
    node.send(&second, ToReader::Stop);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    node.send(&reader, ToReader::Stop);
    assert_eq!(node.join(&reader.process()), Reason::Normal);
    assert!(fetched.try_recv().is_err());
    node.stop();
}
