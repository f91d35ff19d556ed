//! What OTP promises of supervisors (O5): random histories of exits against an independent model of its rules, and
//! the cases that a history of exits does not reach. Time is a test clock's.

mod common;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actors::monitor::Reason;
use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Pid, Process, Received, TestClock};
use actors::supervisor::{
    Intensity, KILL_PATIENCE, Restart, Shutdown, Spec, Strategy, Supervisor, ToSupervisor,
};
use proptest::prelude::*;

use common::{Heard, Stage, all};

const SECOND: Duration = Duration::from_secs(1);

/// What happened to a child, in the order in which things happened to all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Note {
    Started(u64),
    Ended(u64, Reason),
}

/// A child that ends when it is told to, or also when its supervisor asks.
struct Actor {
    number: u64,
    stubborn: bool,
    notes: mpsc::Sender<Note>,
}

impl Process for Actor {
    type Message = Reason;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.stubborn {
            me.trap_exits();
        }
        let _ = self.notes.send(Note::Started(self.number));
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Reason::Crash(message)) => panic!("{message}"),
            Received::Message(reason) => Next::Exit(reason),
            _ => Next::Receive,
        }
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        let _ = self.notes.send(Note::Ended(self.number, reason.clone()));
    }
}

type Cast = Arc<Mutex<HashMap<u64, Pid<Reason>>>>;

/// A supervisor on a test clock, its children, and what happened to them.
struct Troupe {
    stage: Stage,
    supervisor: Pid<ToSupervisor>,
    cast: Cast,
    notes: mpsc::Receiver<Note>,
    note: mpsc::Sender<Note>,
}

impl Troupe {
    fn new(strategy: Strategy, intensity: Intensity, children: &[(Restart, bool)]) -> Self {
        let stage = Stage::new();
        let (note, notes) = mpsc::channel();
        let cast = Cast::default();
        let specs = (0..)
            .zip(children)
            .map(|(number, (restart, stubborn))| spec(number, *restart, *stubborn, &note, &cast));
        let specs: Vec<Spec> = specs.collect();
        let supervisor = stage
            .node
            .arbiter(0)
            .spawn(Name::new("supervisor"), move || {
                Ok((Supervisor::new(strategy, intensity, specs), NoPort))
            });
        stage.clock.settle();
        Self {
            stage,
            supervisor,
            cast,
            notes,
            note,
        }
    }

    fn end(&self, number: u64, reason: Reason) {
        let actor = self.cast.lock().unwrap().get(&number).cloned();
        let _ = actor.map(|actor| actor.try_send(reason));
        self.clock().settle();
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.try_iter().collect()
    }

    fn is_alive(&self) -> bool {
        self.supervisor.process().is_alive()
    }

    fn clock(&self) -> &TestClock {
        &self.stage.clock
    }
}

/// Stubborn children are given one second to stop.
fn spec(
    number: u64,
    restart: Restart,
    stubborn: bool,
    note: &mpsc::Sender<Note>,
    cast: &Cast,
) -> Spec {
    let (note, cast) = (note.clone(), Arc::clone(cast));
    let name = Name::numbered("actor", number);
    Spec {
        name,
        restart,
        shutdown: Shutdown::After(SECOND),
        start: Box::new(move |me| {
            let actor = Actor {
                number,
                stubborn,
                notes: note.clone(),
            };
            let pid = me.spawn_link(name, actor, NoPort);
            cast.lock().unwrap().insert(number, pid.clone());
            Ok(pid.process().into())
        }),
    }
}

/// OTP's rules, written down a second time and otherwise.
struct Model {
    strategy: Strategy,
    intensity: Intensity,
    now: Duration,
    restarts: Vec<Duration>,
    /// Number, restart, whether it runs; those that are forgotten are taken out.
    children: Vec<(u64, Restart, bool)>,
    alive: bool,
    notes: Vec<Note>,
}

impl Model {
    fn new(strategy: Strategy, intensity: Intensity, children: &[(Restart, bool)]) -> Self {
        let children: Vec<_> = (0..)
            .zip(children)
            .map(|(number, (restart, _))| (number, *restart, true))
            .collect();
        let notes = children
            .iter()
            .map(|child| Note::Started(child.0))
            .collect();
        Self {
            strategy,
            intensity,
            now: Duration::ZERO,
            restarts: Vec::new(),
            children,
            alive: true,
            notes,
        }
    }

    fn end(&mut self, number: u64, reason: Reason) {
        let Some(at) = self
            .children
            .iter()
            .position(|child| child.0 == number && child.2)
        else {
            return;
        };
        if !self.alive {
            return;
        }
        self.notes.push(Note::Ended(number, reason.clone()));
        self.children[at].2 = false;
        let abnormal = !matches!(reason, Reason::Normal | Reason::Shutdown);
        match self.children[at].1 {
            Restart::Temporary => {
                self.children.remove(at);
            }
            Restart::Transient if !abnormal => {}
            Restart::Transient | Restart::Permanent => self.restart(at),
        }
    }

    fn restart(&mut self, at: usize) {
        self.restarts.push(self.now);
        let recent = self
            .restarts
            .iter()
            .filter(|time| **time + self.intensity.period >= self.now);
        if recent.count() > self.intensity.restarts {
            self.stop(0..self.children.len());
            self.alive = false;
            return;
        }
        let concerned = match self.strategy {
            Strategy::OneForOne => at..at + 1,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => at..self.children.len(),
        };
        let before: Vec<u64> = self.children[..concerned.start]
            .iter()
            .map(|child| child.0)
            .collect();
        let one = self.children[at].0;
        self.stop(concerned);
        for child in &mut self.children {
            let apart = self.strategy == Strategy::OneForOne && child.0 != one;
            if !apart && !before.contains(&child.0) {
                child.2 = true;
                self.notes.push(Note::Started(child.0));
            }
        }
    }

    fn stop(&mut self, range: std::ops::Range<usize>) {
        for at in range.rev() {
            if std::mem::replace(&mut self.children[at].2, false) {
                self.notes
                    .push(Note::Ended(self.children[at].0, Reason::Shutdown));
                if self.children[at].1 == Restart::Temporary {
                    self.children.remove(at);
                }
            }
        }
    }
}

fn restarts() -> impl proptest::strategy::Strategy<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ]
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ]
}

fn reasons() -> impl proptest::strategy::Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::Normal),
        Just(Reason::Shutdown),
        Just(Reason::crash("a false rhyme"))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn o5_random_histories_of_exits_end_as_otp_would_have_them(
        strategy in strategies(),
        bearable in 0_usize..5,
        children in prop::collection::vec((restarts(), Just(false)), 1..5),
        history in prop::collection::vec((0_u64..5, reasons(), 0_u64..4), 1..12),
    ) {
        let intensity = Intensity { restarts: bearable, period: 5 * SECOND };
        let troupe = Troupe::new(strategy, intensity, &children);
        let mut model = Model::new(strategy, intensity, &children);
        for (number, reason, seconds) in history {
            let wait = Duration::from_secs(seconds);
            troupe.clock().advance(wait);
            model.now += wait;
            troupe.end(number, reason.clone());
            model.end(number, reason);
        }
        prop_assert_eq!(troupe.notes(), model.notes);
        prop_assert_eq!(troupe.is_alive(), model.alive);
    }
}

#[test]
fn o5_children_start_in_order_and_stop_in_reverse() {
    let troupe = Troupe::new(
        Strategy::OneForOne,
        Intensity::default(),
        &[(Restart::Permanent, false); 3],
    );
    troupe.supervisor.process().exit(Reason::Shutdown);
    troupe.clock().settle();
    let ended = |number| Note::Ended(number, Reason::Shutdown);
    assert_eq!(
        troupe.notes(),
        [
            Note::Started(0),
            Note::Started(1),
            Note::Started(2),
            ended(2),
            ended(1),
            ended(0)
        ]
    );
    assert!(!troupe.is_alive());
}

#[test]
fn o5_a_child_that_does_not_stop_in_time_is_killed_before_the_next_is_stopped() {
    let children = [(Restart::Permanent, false), (Restart::Permanent, true)];
    let troupe = Troupe::new(Strategy::OneForOne, Intensity::default(), &children);
    troupe.supervisor.process().exit(Reason::Shutdown);
    troupe.clock().advance(SECOND / 2);
    assert_eq!(troupe.notes(), [Note::Started(0), Note::Started(1)]);
    troupe.clock().advance(SECOND / 2);
    assert_eq!(
        troupe.notes(),
        [
            Note::Ended(1, Reason::Killed),
            Note::Ended(0, Reason::Shutdown)
        ]
    );
    assert!(!troupe.is_alive());
}

#[test]
fn o5_too_many_restarts_stop_the_supervisor_and_its_parent_decides() {
    let stage = Stage::new();
    let (note, notes) = mpsc::channel();
    let cast = Cast::default();
    let under = Arc::clone(&cast);
    let root = Spec {
        name: Name::new("under"),
        restart: Restart::Permanent,
        shutdown: Shutdown::Infinity,
        start: Box::new(move |me| {
            let children = vec![spec(0, Restart::Permanent, false, &note, &under)];
            let under = Supervisor::new(Strategy::OneForOne, Intensity::default(), children);
            Ok(me
                .spawn_link(Name::new("under"), under, NoPort)
                .process()
                .into())
        }),
    };
    let root = stage.node.arbiter(0).spawn(Name::new("root"), move || {
        Ok((
            Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![root]),
            NoPort,
        ))
    });
    stage.clock.settle();
    let crash = || {
        let actor = cast.lock().unwrap()[&0].clone();
        actor.try_send(Reason::crash("again")).unwrap();
        stage.clock.settle();
    };
    let crashed = || Note::Ended(0, Reason::crash("again"));
    // One restart is bearable, the second in five seconds is not: then the parent starts all of it anew.
    crash();
    crash();
    assert_eq!(
        notes.try_iter().collect::<Vec<_>>(),
        [
            Note::Started(0),
            crashed(),
            Note::Started(0),
            crashed(),
            Note::Started(0)
        ]
    );
    assert!(root.process().is_alive());
    // And in the end the parent has had enough too.
    crash();
    crash();
    assert!(!root.process().is_alive());
}

#[test]
fn o5_a_restart_that_fails_is_tried_again_until_that_is_too_often() {
    let stage = Stage::new();
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let actor = Name::new("actor");
    let spec = Spec {
        name: actor,
        restart: Restart::Permanent,
        shutdown: Shutdown::Kill,
        start: Box::new(move |me| {
            let mut tries = counted.lock().unwrap();
            *tries += 1;
            if *tries > 1 {
                return Err(io::Error::other("no stage"));
            }
            let (notes, _) = mpsc::channel();
            let pid = me.spawn_link(
                actor,
                Actor {
                    number: 0,
                    stubborn: false,
                    notes,
                },
                NoPort,
            );
            me.node().register(actor, &pid);
            Ok(pid.process().into())
        }),
    };
    let intensity = Intensity {
        restarts: 3,
        period: SECOND,
    };
    let supervisor = stage
        .node
        .arbiter(0)
        .spawn(Name::new("supervisor"), move || {
            Ok((
                Supervisor::new(Strategy::OneForOne, intensity, vec![spec]),
                NoPort,
            ))
        });
    stage.clock.settle();
    stage
        .node
        .whereis::<Reason>(actor)
        .unwrap()
        .try_send(Reason::Normal)
        .unwrap();
    stage.clock.settle();
    assert_eq!(
        (*tries.lock().unwrap(), supervisor.process().is_alive()),
        (4, false)
    );
}

#[test]
fn o5_children_can_be_added_and_removed_while_it_runs() {
    let troupe = Troupe::new(
        Strategy::OneForOne,
        Intensity::default(),
        &[(Restart::Permanent, false)],
    );
    let spec = spec(7, Restart::Permanent, false, &troupe.note, &troupe.cast);
    let (puppet, heard) = troupe.stage.puppet("manager");
    let supervisor = troupe.supervisor.clone();
    troupe.stage.make(&puppet, move |_, me| {
        me.call(
            &supervisor,
            SECOND,
            |reply| ToSupervisor::Start(spec, reply),
            |puppet, started, _| {
                puppet.say(started.unwrap());
                Next::Receive
            },
        );
        for name in [Name::numbered("actor", 7), Name::new("nobody")] {
            me.call(
                &supervisor,
                SECOND,
                move |reply| ToSupervisor::Remove(name, reply),
                |puppet, removed, _| {
                    puppet.say(removed.unwrap());
                    Next::Receive
                },
            );
        }
        Next::Receive
    });
    let said = ["true", "true", "false"].map(|word| Heard::Said(word.to_owned()));
    assert_eq!(all(&heard), said);
    let notes = [
        Note::Started(0),
        Note::Started(7),
        Note::Ended(7, Reason::Shutdown),
    ];
    assert_eq!(troupe.notes(), notes);
    assert!(troupe.is_alive());
}

#[test]
fn o5_a_supervisor_that_is_killed_leaves_no_children_behind() {
    let troupe = Troupe::new(
        Strategy::OneForOne,
        Intensity::default(),
        &[(Restart::Permanent, true)],
    );
    troupe.supervisor.process().kill();
    troupe.clock().settle();
    assert_eq!(
        troupe.notes(),
        [Note::Started(0), Note::Ended(0, Reason::Killed)]
    );
}

#[test]
fn o5_a_child_that_not_even_a_kill_reaches_is_left_behind_and_counted() {
    let stage = Stage::new();
    // Its arbiter is another node's, on a clock of its own: it sits in one message until it is let go.
    let (elsewhere, _clock) = Node::start_on_test_clock().unwrap();
    let (let_go, sits) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let sits = Arc::new(Mutex::new(sits));
    let arbiter = elsewhere.arbiter(0);
    let spec = Spec {
        name: Name::new("sitter"),
        restart: Restart::Permanent,
        shutdown: Shutdown::After(SECOND),
        start: Box::new(move |me| {
            let (sits, began) = (Arc::clone(&sits), began.clone());
            let pid = me.spawn_link_in(&arbiter, Name::new("sitter"), move || {
                Ok((Sitter { sits, began }, NoPort))
            });
            Ok(pid.process().into())
        }),
    };
    let supervisor = stage
        .node
        .arbiter(0)
        .spawn(Name::new("supervisor"), move || {
            Ok((
                Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![spec]),
                NoPort,
            ))
        });
    begun.recv_timeout(common::DEADLINE).unwrap();
    stage.clock.settle();
    supervisor.process().exit(Reason::Shutdown);
    stage.clock.advance(SECOND);
    assert!(supervisor.process().is_alive());
    stage.clock.advance(KILL_PATIENCE);
    assert!(!supervisor.process().is_alive());
    drop(let_go);
    elsewhere.stop();
}

struct Sitter {
    sits: Arc<Mutex<mpsc::Receiver<()>>>,
    began: mpsc::Sender<()>,
}

impl Process for Sitter {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, _: &mut Me<'_, Self>) -> Next {
        let _ = self.began.send(());
        let _ = self.sits.lock().unwrap().recv();
        Next::Receive
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}
