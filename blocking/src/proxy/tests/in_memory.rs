//! Waiting clients in memory and on virtual time, where a client has no second thread.

use super::*;

use crate::memory::Act::*;
use crate::memory::Happened::*;
use crate::memory::{Peer, ms, sends, serve};

/// A proxy without the thread that fetches.
struct CacheOnly(Cache);

impl CacheOnly {
    fn new() -> Self {
        let upstream = "10001".parse().unwrap();
        Self(Cache::new(ProxyService {
            upstream,
            ttl: None,
        }))
    }

    /// Ends the fetch as if it had brought `poem`.
    fn end_fetch(&self, poem: &str) {
        let wanted = self.0.next_wanted().unwrap();
        self.0.end(&wanted, Some(poem.into()), Duration::ZERO);
    }
}

impl ServeConnection for CacheOnly {
    const BEGINS_IN_FLIGHT: bool = true;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        connection.ledger.request();
        match self.0.find(connection.wire.now()) {
            Found::Cached(poem) => send_poem(&poem, Pace::Fast, connection),
            Found::Waiting(place) => wait(&place, &SecondThreads::at_most(1), connection),
        }
    }
}

fn serve_in_memory(peer: &Peer) -> (CloseReason, Counts) {
    serve(&CacheOnly::new(), &Limits::default(), peer)
}

#[test]
fn s9_a_waiting_client_that_finishes_has_left() {
    let peer = Peer::new([(150, sends(b"hurry")), (330, Finishes)]);
    let (reason, counts) = serve_in_memory(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Left, ms(330)));
    assert_eq!((counts.failed, counts.bytes_in), (1, 5));
    assert_eq!(peer.happened(), [Reset(ms(330))]);
}

#[test]
fn s9_a_waiting_client_that_resets_has_left() {
    let peer = Peer::new([(330, Resets)]);
    let (reason, counts) = serve_in_memory(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Reset, ms(330)));
    assert_eq!(counts.failed, 1);
}

#[test]
fn s21_a_waiting_client_is_in_flight_and_cut_when_the_grace_is_over() {
    let peer = Peer::new([(10, ShutdownBegins), (250, GraceIsOver)]);
    let (reason, counts) = serve_in_memory(&peer);
    assert_eq!((reason, peer.now()), (CloseReason::Cut, ms(250)));
    assert_eq!((counts.failed, peer.happened()), (1, vec![Reset(ms(250))]));
}

#[test]
fn s9_without_a_second_thread_the_poem_is_sent_within_the_retry_after_its_arrival() {
    let service = std::rc::Rc::new(CacheOnly::new());
    let peer = Peer::new([(110, sends(b"x")), (500, Finishes)]);
    let arrives = std::rc::Rc::clone(&service);
    peer.calls_at(330, move || arrives.end_fetch("Ahoy"));
    let (reason, counts) = serve(&*service, &Limits::default(), &peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    assert_eq!((peer.received().as_str(), counts.bytes_in), ("Ahoy", 1));
    let Wrote(at, _) = peer.happened()[0] else {
        panic!("nothing was written");
    };
    assert!((ms(330)..=ms(330) + ACCEPT_RETRY).contains(&at), "{at:?}");
}

#[test]
fn s1_a_client_that_finds_the_poem_is_served_as_by_a_poem_server() {
    let service = CacheOnly::new();
    let Found::Waiting(_first) = service.0.find(ms(0)) else {
        panic!("an empty cache");
    };
    service.end_fetch("Ahoy");
    let peer = Peer::new([(0, Finishes)]);
    let (reason, counts) = serve(&service, &Limits::default(), &peer);
    assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
    let wrote = Wrote(ms(0), b"Ahoy".to_vec());
    assert_eq!(peer.happened(), [wrote, Finished(ms(0))]);
}
