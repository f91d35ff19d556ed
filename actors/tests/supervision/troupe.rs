//! A supervisor on a test clock, whose children end when they are told to and note what happens to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actors::monitor::Reason;
use actors::port::NoPort;
use actors::process::{Me, Name, Next, Pid, Process, Received, TestClock};
use actors::supervisor::{Intensity, Restart, Shutdown, Spec, Strategy, Supervisor, ToSupervisor};

use crate::common::Stage;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What happened to a child, in the order in which things happened to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Started(u64),
    Ended(u64, Reason),
}

/// A child that ends when it is told to, or also when its supervisor asks.
pub(crate) struct Actor {
    pub(crate) number: u64,
    pub(crate) stubborn: bool,
    pub(crate) notes: mpsc::Sender<Note>,
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

pub(crate) type Cast = Arc<Mutex<HashMap<u64, Pid<Reason>>>>;

/// A supervisor on a test clock, its children, and what happened to them.
pub(crate) struct Troupe {
    pub(crate) stage: Stage,
    pub(crate) supervisor: Pid<ToSupervisor>,
    pub(crate) cast: Cast,
    pub(crate) notes: mpsc::Receiver<Note>,
    pub(crate) note: mpsc::Sender<Note>,
}

impl Troupe {
    pub(crate) fn new(
        strategy: Strategy,
        intensity: Intensity,
        children: &[(Restart, bool)],
    ) -> Self {
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

    pub(crate) fn end(&self, number: u64, reason: Reason) {
        let actor = self.cast.lock().unwrap().get(&number).cloned();
        let _ = actor.map(|actor| actor.try_send(reason));
        self.clock().settle();
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.notes.try_iter().collect()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.supervisor.process().is_alive()
    }

    pub(crate) fn clock(&self) -> &TestClock {
        &self.stage.clock
    }
}

/// Stubborn children are given one second to stop.
pub(crate) fn spec(
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
