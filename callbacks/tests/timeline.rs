//! The turns that a timeline shows, in memory: each call of a protocol is one, and after it the task waits for what its state
//! says.

mod common;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use callbacks::{
    Limits, MemoryReactor, Pace, Peer, PoemService, ProxyService, ServerState, Task,
    TransformService, get_poetry_with, poem_factory, proxy_factory, transform_factory,
};
use poetry::event::{Interest, Scene, Wait};
use poetry::{Clock, Event, Kind, Observer, Reporter, Role};

use common::SECOND;

/// Keeps what tasks wait for, and `None` for each time that one runs.
#[derive(Default)]
struct Turns(Mutex<Vec<Option<Wait>>>);

impl Observer for Turns {
    fn interest(&self) -> Interest {
        Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(match event.kind {
            Kind::Waiting(wait) => Some(wait),
            _ => None,
        });
    }
}

impl Turns {
    fn reporter(self: &Arc<Self>, role: Role) -> Reporter {
        let observer = Arc::clone(self) as Arc<dyn Observer>;
        Reporter::new("callbacks", role, Clock::stopped(), observer)
    }

    fn state(self: &Arc<Self>, role: Role) -> Rc<ServerState> {
        ServerState::new(Limits::default(), self.reporter(role))
    }

    fn take(&self) -> Vec<Option<Wait>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Returns the waits, if a task has run before each.
    fn waits(&self) -> Vec<Wait> {
        let turns = self.take();
        let (runs, waits): (Vec<_>, Vec<_>) =
            turns.chunks(2).map(|turn| (turn[0], turn[1])).unzip();
        assert!(runs.iter().all(Option::is_none), "{turns:?}");
        waits.into_iter().map(Option::unwrap).collect()
    }
}

#[test]
fn a_connection_waits_for_the_next_chunk_also_after_bytes_from_its_client() {
    let (reactor, turns) = (MemoryReactor::new(), Arc::new(Turns::default()));
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: SECOND,
    };
    let poem = "Ahoy".into();
    let state = turns.state(Role::PoemServer);
    let peer = reactor.accept(&poem_factory(PoemService { poem, pace }, &state));
    reactor.settle();
    peer.send(b"?");
    reactor.settle();
    assert_eq!(turns.waits(), [Wait::Pace, Wait::Pace]);
    peer.limit_room(1);
    reactor.advance(SECOND);
    assert_eq!(turns.waits(), [Wait::Write]);
    peer.limit_room(usize::MAX);
    reactor.advance(SECOND);
    assert_eq!(peer.received(), b"Ahoy");
    assert_eq!(turns.waits().last(), Some(&Wait::Read));
}

#[test]
fn a_connection_waits_for_its_turn_between_two_of_them() {
    let (reactor, turns) = (MemoryReactor::new(), Arc::new(Turns::default()));
    let service = TransformService {
        keep_alive: true,
        ..TransformService::default()
    };
    let state = turns.state(Role::TransformServer);
    let peer = reactor.accept(&transform_factory(service, &state));
    reactor.settle();
    turns.take();
    peer.send(&b"7:shout.a,".repeat(65));
    reactor.settle();
    assert_eq!(turns.waits(), [Wait::Turn, Wait::Read]);
}

#[test]
fn a_client_of_a_proxy_waits_for_the_fetch_which_reports_no_turn_after_its_end() {
    let (reactor, turns) = (MemoryReactor::new(), Arc::new(Turns::default()));
    let service = ProxyService {
        upstream: "127.0.0.1:1".parse::<Peer>().unwrap(),
        ttl: None,
    };
    let state = turns.state(Role::Proxy);
    let peer = reactor.accept(&proxy_factory(&reactor, service, &state));
    reactor.settle();
    assert!(turns.take().contains(&Some(Wait::Task)));
    let upstream = reactor.dialled().remove(0);
    upstream.accept();
    upstream.send(b"Ah");
    peer.send(b"?");
    reactor.settle();
    let waits = turns.waits();
    assert_eq!(waits.iter().filter(|&&wait| wait == Wait::Task).count(), 1);
    // The last client leaves, which cancels the fetch.
    peer.finish();
    reactor.settle();
    assert!(upstream.is_closed() && peer.is_closed());
    assert_eq!(turns.take().len(), 3, "the client's last two calls");
}

#[test]
fn a_cancelled_fetch_reports_no_turn_after_its_end() {
    let (reactor, turns) = (MemoryReactor::new(), Arc::new(Turns::default()));
    let task = Task::new(
        &reactor,
        Limits::default(),
        &turns.reporter(Role::PoemClient),
    );
    let poem = get_poetry_with(&reactor, "127.0.0.1:1".parse::<Peer>().unwrap(), &task);
    let server = reactor.dialled().remove(0);
    server.accept();
    server.send(b"Ah");
    reactor.settle();
    assert_eq!(turns.take().last(), Some(&Some(Wait::Read)));
    poem.cancel();
    reactor.settle();
    assert!(server.is_closed());
    assert_eq!(turns.take(), []);
}

/// Keeps where events happen.
#[derive(Default)]
struct Scenes(Mutex<Vec<Scene>>);

impl Observer for Scenes {
    fn interest(&self) -> Interest {
        Interest::ACCEPTED | Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.scene);
    }
}

#[test]
fn the_turns_of_a_connection_happen_where_its_other_events_do() {
    let (reactor, scenes) = (MemoryReactor::new(), Arc::new(Scenes::default()));
    let observer = Arc::clone(&scenes) as Arc<dyn Observer>;
    let reporter = Reporter::new("callbacks", Role::PoemServer, Clock::stopped(), observer);
    let state = ServerState::new(Limits::default(), reporter);
    let (poem, pace) = ("Ahoy".into(), Pace::Fast);
    let peer = reactor.accept(&poem_factory(PoemService { poem, pace }, &state));
    reactor.settle();
    let scenes = scenes.0.lock().unwrap();
    assert_eq!(scenes.len(), 3);
    assert!(scenes.iter().all(|scene| *scene == scenes[0]));
    assert!(scenes[0].local.is_some() && scenes[0].peer.is_some());
    assert!(!peer.is_closed());
}
