//! The library server and the named fetch in memory, on virtual time (S8).

mod common;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{
    Deferred, Factory, FetchFailure, FramedPoem, Library, LibraryService, Limits, MemoryPeer,
    MemoryReactor, Peer, Poem, Reporter, Role, ServerState, Task, Unobserved, event::Clock,
    get_poetry_named_with, library_factory,
};
use poetry::error::Timeout;
use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::netstring::{Flaw, FramingError};
use poetry::{Counts, Observer};

use common::{Answers, SECOND};

/// A library server in memory.
struct Setup {
    reactor: MemoryReactor,
    state: Rc<ServerState>,
    library: Library,
    factory: Rc<dyn Factory>,
}

impl Setup {
    fn new(keep_alive: bool) -> Self {
        Self::with(keep_alive, Limits::default(), Arc::new(Unobserved))
    }

    fn with(keep_alive: bool, limits: Limits, observer: Arc<dyn Observer>) -> Self {
        let clock = Clock::stopped();
        let reporter = Reporter::new("callbacks", Role::LibraryServer, clock, observer);
        let state = ServerState::new(limits, reporter);
        let library = library(&[("star", "Stars fall."), ("moon", "Moon")]);
        let service = LibraryService {
            library: library.clone(),
            keep_alive,
        };
        Self {
            reactor: MemoryReactor::new(),
            factory: library_factory(service, &state),
            library,
            state,
        }
    }

    fn accept(&self) -> MemoryPeer {
        self.reactor.accept(&self.factory)
    }

    fn counts(&self) -> Counts {
        let counts = self.state.counts();
        counts.check().unwrap();
        counts
    }
}

fn library(poems: &[(&str, &str)]) -> Library {
    let framed =
        |&(name, text): &(&str, &str)| (name.parse().unwrap(), FramedPoem::from(&Poem::from(text)));
    Library::new(poems.iter().map(framed).collect())
}

#[test]
fn s8_a_one_shot_server_answers_the_first_name_and_closes() {
    let setup = Setup::new(false);
    let peer = setup.accept();
    peer.send(b"4:star,4:moon,");
    setup.reactor.settle();
    assert_eq!(peer.received(), b"11:Stars fall.,");
    assert!(peer.sees_fin() && !peer.is_closed());
    peer.finish();
    setup.reactor.settle();
    let counts = setup.counts();
    assert_eq!((counts.answered, counts.closed.done), (1, 1));
}

#[test]
fn s8_names_are_answered_in_order_however_they_are_cut() {
    let wire = b"4:star,4:moon,4:star,";
    for cut in 0..=wire.len() {
        let setup = Setup::new(true);
        let peer = setup.accept();
        for part in [&wire[..cut], &wire[cut..]] {
            peer.send(part);
            setup.reactor.settle();
        }
        let received = peer.received();
        assert_eq!(received, b"11:Stars fall.,4:Moon,11:Stars fall.,", "{cut}");
        assert_eq!(setup.counts().answered, 3);
    }
}

#[test]
fn s8_a_refused_name_ends_the_connection_after_the_replies_before_it() {
    let refused: [&[u8]; 4] = [b"4:none,", b"7:../star,", b"0:,", b"x"];
    for bad in refused {
        let setup = Setup::new(true);
        let peer = setup.accept();
        peer.send(&[b"4:moon,", bad, b"4:star,"].concat());
        setup.reactor.settle();
        assert_eq!(peer.received(), b"4:Moon,");
        assert!(peer.sees_fin());
        peer.finish();
        setup.reactor.settle();
        let counts = setup.counts();
        assert_eq!((counts.answered, counts.refused.total()), (1, 1));
        assert_eq!(counts.closed.refused, 1);
    }
}

#[test]
fn s8_a_poem_over_the_frame_limit_is_refused() {
    let limits = Limits {
        frame_bytes_max: 10,
        ..Limits::default()
    };
    let setup = Setup::with(true, limits, Arc::new(Unobserved));
    let peer = setup.accept();
    peer.send(b"4:star,");
    setup.reactor.settle();
    assert!(peer.received().is_empty() && peer.sees_fin());
    assert_eq!(setup.counts().refused.reply_too_long, 1);
}

#[test]
fn s8_replies_that_the_kernel_takes_byte_by_byte_stay_whole_and_are_counted_one_by_one() {
    let setup = Setup::new(true);
    let peer = setup.accept();
    peer.limit_room(0);
    peer.send(b"4:moon,4:star,4:moon,");
    setup.reactor.settle();
    setup.library.replace(Default::default());
    let expected = b"4:Moon,11:Stars fall.,4:Moon,";
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let answered = [7, 22, 29].iter().filter(|end| received.len() >= **end);
        let counts = setup.counts();
        assert_eq!(counts.answered, answered.count() as u64);
        assert_eq!(counts.answered + counts.in_flight, 3);
        peer.limit_room(1);
        setup.reactor.settle();
        received.extend(peer.received());
    }
    assert_eq!(received, expected);
    assert_eq!(setup.counts().answered, 3);
    peer.send(b"4:moon,");
    setup.reactor.settle();
    assert_eq!(setup.counts().refused.unknown_poem, 1);
}

#[test]
fn s5_no_further_name_is_read_while_a_reply_is_unsent() {
    let setup = Setup::new(true);
    let peer = setup.accept();
    peer.limit_room(3);
    peer.send(b"4:moon,");
    setup.reactor.settle();
    peer.send(b"4:star,");
    peer.finish();
    setup.reactor.settle();
    assert_eq!((peer.unread(), peer.received()), (7, b"4:M".to_vec()));
    peer.limit_room(100);
    setup.reactor.settle();
    assert_eq!(peer.received(), b"oon,11:Stars fall.,");
    assert!(peer.is_closed());
}

#[test]
fn s18_a_stalled_reader_is_reset_by_the_write_timeout_and_a_slow_one_is_not() {
    let limits = Limits {
        write_timeout: SECOND,
        ..Limits::default()
    };
    let setup = Setup::with(true, limits, Arc::new(Unobserved));
    let (stalled, slow) = (setup.accept(), setup.accept());
    for peer in [&stalled, &slow] {
        peer.limit_room(1);
        peer.send(b"4:star,4:moon,");
    }
    setup.reactor.settle();
    for _ in 0..3 {
        slow.take_unannounced(1);
        setup.reactor.advance(SECOND);
        assert!(stalled.is_closed() && !slow.is_closed());
    }
    let counts = setup.counts();
    assert_eq!((counts.closed.write, counts.failed), (1, 2));
}

#[test]
fn s24_a_burst_is_answered_in_turns_with_the_other_connections() {
    let answers = Arc::new(Answers::default());
    let setup = Setup::with(true, Limits::default(), Arc::clone(&answers) as _);
    let (burst, other) = (setup.accept(), setup.accept());
    let turn = u64::from(REQUESTS_PER_TURN_MAX);
    burst.send(&b"4:moon,".repeat(2 * turn as usize + 1));
    other.send(b"4:star,");
    setup.reactor.settle();
    assert_eq!(answers.take(), [(0, turn), (1, 1), (0, turn), (0, 1)]);
    assert_eq!(burst.received(), b"4:Moon,".repeat(2 * turn as usize + 1));
}

#[test]
fn s19_a_reset_in_mid_reply_costs_that_connection_only() {
    let setup = Setup::new(true);
    let (broken, fine) = (setup.accept(), setup.accept());
    for peer in [&broken, &fine] {
        peer.limit_room(3);
        peer.send(b"4:star,");
    }
    setup.reactor.settle();
    broken.fail(ErrorKind::ConnectionReset);
    fine.limit_room(100);
    setup.reactor.settle();
    assert_eq!(fine.received(), b"11:Stars fall.,");
    let counts = setup.counts();
    assert_eq!((counts.closed.reset, counts.failed), (1, 1));
}

#[test]
fn s21_an_unsent_reply_is_in_flight_and_an_idle_connection_is_not() {
    let setup = Setup::new(true);
    let (busy, idle) = (setup.accept(), setup.accept());
    busy.limit_room(3);
    busy.send(b"4:moon,");
    setup.reactor.settle();
    let ended = setup.state.shut_down(&setup.reactor, SECOND);
    setup.reactor.settle();
    assert!(idle.is_closed() && !ended.has_fired());
    busy.limit_room(100);
    setup.reactor.settle();
    busy.finish();
    setup.reactor.settle();
    assert_eq!(busy.received(), b"4:Moon,");
    assert!(ended.has_fired());
    let counts = setup.counts();
    assert_eq!((counts.closed.done, counts.closed.cut), (2, 0));
}

/// Begins a fetch of `star` in memory, which may have 10 bytes and be silent for a second; returns the library too.
fn begin() -> (MemoryReactor, Rc<Task>, Deferred<Poem>, MemoryPeer) {
    let reactor = MemoryReactor::new();
    let limits = Limits {
        poem_bytes_max: 10,
        idle_timeout: SECOND,
        ..Limits::default()
    };
    let clock = Clock::stopped();
    let reporter = Reporter::new("callbacks", Role::PoemClient, clock, Arc::new(Unobserved));
    let task = Task::new(&reactor, limits, &reporter);
    let peer: Peer = "10003".parse().unwrap();
    let poem = get_poetry_named_with(&reactor, peer, &"star".parse().unwrap(), &task);
    let server = reactor.dialled().remove(0);
    server.accept();
    reactor.settle();
    assert_eq!(server.received(), b"4:star,");
    (reactor, task, poem, server)
}

fn failure(poem: Deferred<Poem>) -> FetchFailure {
    let failure = poem.take_result().expect("a result").unwrap_err();
    failure.trap().unwrap()
}

#[test]
fn s8_a_named_fetch_takes_one_netstring_and_counts_its_wire_bytes() {
    let (reactor, task, poem, server) = begin();
    for part in [&b"7"[..], b":ahoy ", b"\xc3", b"\xbc,4:more"] {
        assert!(!poem.has_fired());
        server.send(part);
        reactor.settle();
    }
    assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "ahoy ü");
    assert_eq!(task.received(), 16);
    assert!(server.is_closed());
}

#[test]
fn s8_failures_of_a_named_fetch_are_distinguished() {
    let after = |act: fn(&MemoryReactor, &MemoryPeer)| {
        let (reactor, _, poem, server) = begin();
        act(&reactor, &server);
        reactor.settle();
        assert!(server.is_closed());
        failure(poem)
    };
    let refused = after(|_, server| server.finish());
    assert_eq!(refused, FetchFailure::Refused);
    let cut_short = after(|_, server| {
        server.send(b"4:sta");
        server.finish();
    });
    assert_eq!(cut_short, FetchFailure::CutShort);
    let too_long = after(|_, server| server.send(b"11"));
    assert_eq!(too_long, FetchFailure::TooLong { limit: 10 });
    let garbled = after(|_, server| server.send(b"2:abc"));
    let flaw = Flaw::NotAComma(b'c');
    assert_eq!(garbled, FetchFailure::Garbled(FramingError { at: 4, flaw }));
    let not_utf8 = after(|_, server| server.send(b"6:ahoy \xc3,"));
    assert_eq!(not_utf8, FetchFailure::NotUtf8 { at: 5 });
    let lost = after(|_, server| server.fail(ErrorKind::ConnectionReset));
    assert!(matches!(lost, FetchFailure::ConnectionLost { .. }));
    let silent = after(|reactor, _| reactor.advance(SECOND));
    assert_eq!(silent, FetchFailure::TimedOut(Timeout::Idle));
}

#[test]
fn s14_a_cancelled_named_fetch_closes_its_socket_at_once() {
    let (reactor, _, poem, server) = begin();
    poem.cancel();
    reactor.settle();
    assert_eq!(failure(poem), FetchFailure::Cancelled);
    assert!(server.is_closed());
}
