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
        Self::fetch_all(vec![FetchRequest::new(address(port))], limits)
    }

    /// Fetches `Stars` from `poem`, the peer at `port`, and sends it to the transform server at the port `transforms`.
    fn fetch_shouted(port: u16, poem: &testing::Peer, transforms: u16) -> Self {
        let request = FetchRequest::new(address(port)).via(shout_at(transforms));
        let one = Self::fetch_all(vec![request], Limits::default());
        poem.send(b"Stars");
        poem.finish();
        one.clock.settle();
        one
    }

    fn fetch_named(port: u16, name: &str, limits: Limits) -> Self {
        let request = FetchRequest::named(address(port), name.parse().unwrap());
        Self::fetch_all(vec![request], limits)
    }

    fn fetch_all(requests: Vec<FetchRequest>, limits: Limits) -> Self {
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let failures = Arc::new(Failures::default());
        let observer = Arc::clone(&failures) as Arc<dyn Observer>;
        let options = Options {
            limits,
            ..Options::new(ticking())
        };
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

fn shout_at(port: u16) -> Via {
    Via {
        transform: "shout".to_owned(),
        peer: Peer::from(address(port)),
    }
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
fn s15_what_came_before_the_idle_timeout_is_read_by_a_late_thread() {
    let peer = testing::listen(address(27));
    let one = One::fetch(27, Limits::default());
    peer.send_unannounced(b"Stars");
    one.clock.advance(119 * SECOND);
    assert_eq!((one.ended(), peer.unread()), (None, 0));
    one.clock.advance(SECOND);
    assert_eq!(one.ended(), Some("timed_out"));

    let (poem, transforms) = (testing::listen(address(28)), testing::listen(address(29)));
    let transformed = One::fetch_shouted(28, &poem, 29);
    transforms.send_unannounced(b"5:STARS,");
    transformed.clock.advance(60 * SECOND);
    let outcome = transformed.outcome().unwrap();
    assert_eq!(outcome.poem.unwrap(), "STARS");
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
    let one = One::fetch_shouted(5, &poem, 6);
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
    let one = One::fetch_shouted(9, &poem, 10);
    let outcome = one.outcome().unwrap();
    assert_eq!(outcome.poem.as_deref(), Ok("Stars"));
    let failure = outcome.transform_failure.unwrap().failure;
    assert_eq!(failure.status(), "connection_failed");
    assert!(itself.ended().1);
}

#[test]
fn s8_a_poem_is_fetched_by_name_in_any_pieces() {
    let peer = testing::listen_with_room(address(20), 2);
    let one = One::fetch_named(20, "star", Limits::default());
    assert_eq!(peer.received(), b"4:");
    peer.take(100);
    one.clock.settle();
    assert_eq!(peer.received(), b"4:star,");
    for byte in "7:Sterne!,".as_bytes() {
        assert_eq!(one.ended(), None);
        peer.send(&[*byte]);
        one.clock.settle();
    }
    let outcome = one.outcome().unwrap();
    assert_eq!(
        (outcome.poem.as_deref(), outcome.bytes),
        (Ok("Sterne!"), 10)
    );
    assert!(peer.ended().1);
}

#[test]
fn s8_a_library_that_does_not_send_one_netstring_fails_the_fetch() {
    let limits = Limits {
        poem_bytes_max: 5,
        ..Limits::default()
    };
    for (reply, status) in [
        (&b""[..], "refused"),
        (b"5:Sta", "cut_short"),
        (b"5", "cut_short"),
        (b"x", "garbled"),
        (b"5:Stars;", "garbled"),
        (b"6", "too_long"),
        (b"1:\xff,", "not_utf8"),
        (b"5:Stars,and more", "arrived"),
    ] {
        let peer = testing::listen(address(21));
        let one = One::fetch_named(21, "star", limits.clone());
        peer.send(reply);
        peer.finish();
        one.clock.settle();
        assert_eq!(one.ended(), Some(status), "{reply:?}");
    }
}

#[test]
fn s8_a_library_reset_in_the_middle_of_its_reply_is_lost() {
    let peer = testing::listen(address(22));
    let one = One::fetch_named(22, "star", Limits::default());
    peer.send(b"5:Sta");
    one.clock.settle();
    peer.reset();
    one.clock.settle();
    assert_eq!(one.ended(), Some("connection_lost"));
}

#[test]
fn s11_a_reply_that_came_before_the_request_could_be_written_counts() {
    for (kind, reply, status) in [
        (std::io::ErrorKind::BrokenPipe, &b"1:a,"[..], "arrived"),
        (std::io::ErrorKind::BrokenPipe, b"", "refused"),
        (std::io::ErrorKind::ConnectionReset, b"1:a,", "arrived"),
        (
            std::io::ErrorKind::ConnectionReset,
            b"1:",
            "connection_lost",
        ),
    ] {
        let peer = testing::listen(address(23));
        peer.refuse_writes(kind);
        peer.send(reply);
        peer.finish();
        let one = One::fetch_named(23, "star", Limits::default());
        assert_eq!(one.ended(), Some(status), "{kind}");
    }
}

#[test]
fn s15_a_server_that_takes_a_request_slowly_does_not_time_out_and_one_that_takes_nothing_does() {
    let peer = testing::listen_with_room(address(24), 0);
    let named = One::fetch_named(24, "star", Limits::default());
    takes_slowly(&named, &peer, b"4:star,");
    assert_eq!(named.ended(), Some("timed_out"));

    let (poem, transforms) = (
        testing::listen(address(25)),
        testing::listen_with_room(address(26), 0),
    );
    let transformed = One::fetch_shouted(25, &poem, 26);
    takes_slowly(&transformed, &transforms, b"11:shout.Stars,");
    let failure = transformed.outcome().unwrap().transform_failure.unwrap();
    assert_eq!(failure.failure.status(), "timed_out");
}

/// Takes two bytes of the request, each unannounced and just in time, and then none.
fn takes_slowly(one: &One, peer: &testing::Peer, request: &[u8]) {
    for taken in 1..=2 {
        one.clock.advance(59 * SECOND);
        peer.take_unannounced(1);
        one.clock.advance(SECOND);
        assert_eq!(peer.received(), request[..taken]);
    }
    one.clock.advance(59 * SECOND);
    assert!(!peer.ended().1);
    one.clock.advance(SECOND);
    assert!(peer.ended().1);
}

#[test]
fn s15_a_fetch_without_a_descriptor_waits_for_another_to_end_beyond_the_connect_timeout() {
    let (first, second) = (testing::listen(address(30)), testing::listen(address(31)));
    testing::short_of_descriptors(address(31), 1);
    let requests = [30, 31].map(|port| FetchRequest::new(address(port)));
    let both = One::fetch_all(requests.into(), Limits::default());
    both.clock.advance(59 * SECOND);
    second.send(b"b");
    second.finish();
    both.clock.settle();
    assert_eq!(second.unread(), 1);
    first.send(b"a");
    first.finish();
    both.clock.settle();
    assert_eq!(second.unread(), 0);
    let outcomes: Vec<_> = both.outcomes.try_iter().next().unwrap();
    let poems: Vec<_> = outcomes.iter().map(|one| one.poem.as_deref()).collect();
    assert_eq!(poems, [Ok("a"), Ok("b")]);
}

#[test]
fn s15_every_fetch_without_a_descriptor_tries_again_once_no_other_has_a_connection() {
    let first = testing::listen(address(32));
    let others = [33, 34, 35].map(|port| testing::listen(address(port)));
    for port in [33, 34, 35] {
        // The first attempt fails, and so do the first ones after the end of the first fetch.
        testing::short_of_descriptors(address(port), 3);
    }
    let requests = [32, 33, 34, 35].map(|port| FetchRequest::new(address(port)));
    let all = One::fetch_all(requests.into(), Limits::default());
    for peer in others.iter().chain([&first]) {
        peer.send(b"a");
        peer.finish();
        all.clock.settle();
    }
    all.clock.advance(SECOND / 10);
    assert!(others.iter().all(|peer| peer.unread() == 1));
    all.clock.advance(SECOND / 10);
    let outcomes: Vec<_> = all.outcomes.try_iter().next().unwrap();
    assert!(outcomes.iter().all(|one| one.poem.as_deref() == Ok("a")));
}

#[test]
fn s15_a_shortage_that_no_fetch_can_end_fails_after_the_connect_timeout() {
    testing::short_of_descriptors(address(36), usize::MAX);
    let one = One::fetch(36, Limits::default());
    one.clock.advance(10 * SECOND - SECOND / 100);
    assert_eq!(one.ended(), None);
    one.clock.advance(SECOND / 100);
    assert_eq!(one.ended(), Some("connection_failed"));
}

#[test]
fn s15_a_transform_without_a_descriptor_waits_too() {
    let (poem, transforms) = (testing::listen(address(37)), testing::listen(address(38)));
    let other = testing::listen(address(39));
    // The second attempt is made at once, since the poem's connection has ended.
    testing::short_of_descriptors(address(38), 2);
    let requests = vec![
        FetchRequest::new(address(37)).via(shout_at(38)),
        FetchRequest::new(address(39)),
    ];
    let both = One::fetch_all(requests, Limits::default());
    poem.send(b"Stars");
    poem.finish();
    both.clock.advance(30 * SECOND);
    assert_eq!(transforms.received(), b"");
    other.finish();
    both.clock.settle();
    assert_eq!(transforms.received(), b"11:shout.Stars,");
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
