//! A supervisor on a test clock, with children that end on request and note their starts and ends.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actors::{
    Intensity, Me, Name, Next, NoPort, Pid, Process, ProcessRef, Reason, Received, Restart,
    Shutdown, Spec, Strategy, Supervisor, TestClock, ToSupervisor,
};

use crate::common::TestNode;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The start or end of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Started(u64),
    Ended(u64, Reason),
}

/// An act of the test on a child or on the supervisor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// The child ends by itself.
    End(u64, Reason),
    /// The child is asked to exit.
    Exit(u64, Reason),
    Kill(u64),
    /// The next starts of the child fail, this many.
    Refuse(u64, usize),
    /// The supervisor is asked to exit.
    Stop(Reason),
}

impl Act {
    /// Returns the child that the act wakes.
    pub(crate) fn wakes(&self) -> Option<u64> {
        match self {
            Self::End(number, _) | Self::Exit(number, _) | Self::Kill(number) => Some(*number),
            Self::Refuse(..) | Self::Stop(_) => None,
        }
    }
}

/// A child that ends when a message says so. A stubborn one ignores its supervisor's request to stop.
pub(crate) struct Child {
    pub(crate) number: u64,
    pub(crate) stubborn: bool,
    pub(crate) notes: mpsc::Sender<Note>,
}

impl Process for Child {
    type Message = Reason;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.stubborn {
            me.trap_exits();
        }
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

pub(crate) type Known = Arc<Mutex<Children>>;

/// What the test knows about a supervisor's children.
#[derive(Default)]
pub(crate) struct Children {
    pub(crate) pids: HashMap<u64, Pid<Reason>>,
    /// The number of starts that fail before the next one succeeds.
    refusals: HashMap<u64, usize>,
}

/// A supervisor on a test clock, its children, and their notes.
pub(crate) struct Supervised {
    pub(crate) test: TestNode,
    pub(crate) supervisor: Pid<ToSupervisor>,
    pub(crate) known: Known,
    pub(crate) notes: mpsc::Receiver<Note>,
    pub(crate) note: mpsc::Sender<Note>,
}

impl Supervised {
    pub(crate) fn new(
        strategy: Strategy,
        intensity: Intensity,
        children: &[(Restart, bool)],
    ) -> Self {
        let test = TestNode::new();
        let (note, notes) = mpsc::channel();
        let known = Known::default();
        let specs = (0..)
            .zip(children)
            .map(|(number, (restart, stubborn))| spec(number, *restart, *stubborn, &note, &known));
        let specs: Vec<Spec> = specs.collect();
        let supervisor = test
            .node
            .arbiter(0)
            .spawn(Name::new("supervisor"), move || {
                Ok((Supervisor::new(strategy, intensity, specs), NoPort))
            });
        test.clock.settle();
        Self {
            test,
            supervisor,
            known,
            notes,
            note,
        }
    }

    /// Does all acts in one turn of one process, so that no process reacts before the last act.
    pub(crate) fn at_once(&self, acts: Vec<Act>) {
        let (actor, _) = self.test.puppet("actor");
        let (supervisor, known) = (self.supervisor.process(), Arc::clone(&self.known));
        self.test.make(&actor, move |_, _| {
            let mut known = known.lock().unwrap();
            for act in acts {
                known.undergo(act, &supervisor);
            }
            Next::Exit(Reason::Normal)
        });
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.notes.try_iter().collect()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.ended().is_none()
    }

    /// Returns why the supervisor ended.
    pub(crate) fn ended(&self) -> Option<Reason> {
        self.supervisor.process().exit_reason()
    }

    pub(crate) fn clock(&self) -> &TestClock {
        &self.test.clock
    }
}

impl Children {
    fn undergo(&mut self, act: Act, supervisor: &ProcessRef) {
        let process = |number| self.pids.get(number).map(Pid::process);
        match act {
            Act::End(number, reason) => {
                let _ = self.pids.get(&number).map(|pid| pid.try_send(reason));
            }
            Act::Exit(number, reason) => process(&number)
                .iter()
                .for_each(|child| child.exit(reason.clone())),
            Act::Kill(number) => process(&number).iter().for_each(ProcessRef::kill),
            Act::Refuse(number, starts) => {
                self.refusals.insert(number, starts);
            }
            Act::Stop(reason) => supervisor.exit(reason),
        }
    }

    fn refuses(&mut self, number: u64) -> bool {
        let left = self.refusals.entry(number).or_default();
        std::mem::replace(left, left.saturating_sub(1)) > 0
    }
}

/// Returns the spec of a child, which has one second to stop.
pub(crate) fn spec(
    number: u64,
    restart: Restart,
    stubborn: bool,
    note: &mpsc::Sender<Note>,
    known: &Known,
) -> Spec {
    let (note, known) = (note.clone(), Arc::clone(known));
    let name = Name::numbered("child", number);
    Spec::new(name, move |me| {
        let mut known = known.lock().unwrap();
        if known.refuses(number) {
            return Err(io::Error::other("indisposed"));
        }
        let child = Child {
            number,
            stubborn,
            notes: note.clone(),
        };
        let pid = me.spawn_link(name, child, NoPort);
        // Not noted by the child, which may be asked to stop before its first turn.
        let _ = note.send(Note::Started(number));
        known.pids.insert(number, pid.clone());
        Ok(pid.into())
    })
    .restart(restart)
    .shutdown(Shutdown::After(SECOND))
}
