//! The same histories on `actors`, on a test clock.

mod known;
mod puppet;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use actors::{
    Intensity, Me, Name, Next, NoPort, Pid, Process, ProcessRef, Reason, Received, SendError, Spec,
    Supervisor, ToSupervisor,
};

use crate::common::TestNode;
use crate::history::{
    Act, Child, Command, End, History, Kind, Manner, Restart, Shutdown, Signal, Slot,
};
use crate::seen::Seen;
use known::{Known, Latest};
use puppet::{Mail, Puppet};

/// The capacity of a puppet's mailbox; `histories.escript` has the same.
const MAILBOX: usize = 3;

pub(crate) fn run(history: &History) -> Vec<Seen> {
    let test = TestNode::new();
    let world = Arc::new(World {
        known: Mutex::default(),
        root: history.root.clone(),
    });
    let puppets = history.puppets.clone();
    at_once(&test, &world, move |world, me| {
        for (slot, &manner) in puppets.iter().enumerate() {
            world.start(slot, manner, None, me);
        }
    });
    for instant in &history.instants {
        world.step();
        test.clock.advance(instant.wait);
        world.step();
        let acts = instant.acts.clone();
        at_once(&test, &world, |world, me| {
            for act in acts {
                world.act(act, me);
            }
        });
    }
    world.finish()
}

/// Calls `act` in one handler, so that no process of the history runs meanwhile.
fn at_once(
    test: &TestNode,
    world: &Arc<World>,
    act: impl FnOnce(&Arc<World>, &mut Me<'_, Driver>) + Send + 'static,
) {
    let world = Arc::clone(world);
    let act = Box::new(move |me: &mut Me<'_, Driver>| act(&world, me));
    test.node.spawn("driver", Driver(Some(act)));
    test.clock.settle();
}

/// Does the acts of one instant.
struct Driver(Option<Acts>);

type Acts = Box<dyn FnOnce(&mut Me<'_, Driver>) + Send>;

impl Process for Driver {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if let Some(act) = self.0.take() {
            act(me);
        }
        Next::Exit(Reason::Normal)
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

/// What the processes of a history share.
struct World {
    known: Mutex<Known>,
    root: Child,
}

impl World {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    fn step(&self) {
        let mut known = self.known();
        known.look_for_ends();
        known.step += 1;
    }

    fn finish(&self) -> Vec<Seen> {
        let mut known = self.known();
        known.look_for_ends();
        let alive: Vec<_> = known.alive.iter().map(|(name, _)| name.clone()).collect();
        for name in alive {
            known.say(&name, "alive");
        }
        std::mem::take(&mut known.seen)
    }

    fn act<P: Process>(self: &Arc<Self>, act: Act, me: &mut Me<'_, P>) {
        match act {
            Act::Do(slot, commands) => {
                if let Some(Latest::Puppet(pid)) = self.latest(slot) {
                    send_commands(&pid, commands, me);
                }
            }
            Act::Signal(slot, signal) => {
                if let Some(latest) = self.latest(slot) {
                    send_signal(&latest.process(), signal, me);
                }
            }
            Act::Refuse(slot, starts) => {
                self.known().refusals.insert(slot, starts);
            }
        }
    }

    fn latest(&self, slot: Slot) -> Option<Latest> {
        self.known().latest.get(&slot).cloned()
    }

    fn name_next(&self, slot: Slot) -> String {
        let mut known = self.known();
        let starts = known.starts.entry(slot).or_default();
        *starts += 1;
        format!("{slot}.{starts}")
    }

    fn started(&self, slot: Slot, name: &str, process: Latest) {
        let mut known = self.known();
        let reference = process.process();
        known.names.insert(reference.id(), name.to_owned());
        known.say(name, "started");
        known.alive.push((name.to_owned(), reference));
        known.latest.insert(slot, process);
    }

    fn start<P: Process>(
        self: &Arc<Self>,
        slot: Slot,
        manner: Manner,
        supervisor: Option<ProcessRef>,
        me: &mut Me<'_, P>,
    ) -> Pid<Mail> {
        let name = self.name_next(slot);
        let is_supervised = supervisor.is_some();
        let puppet = Puppet {
            world: Arc::clone(self),
            slot,
            name: name.clone(),
            manner,
            supervisor,
            monitors: Vec::new(),
            kept: VecDeque::new(),
        };
        let pid = me.spawn("puppet", puppet, NoPort);
        // A supervised one says so itself, since its supervisor waits for that.
        if !is_supervised {
            self.started(slot, &name, Latest::Puppet(pid.clone()));
        }
        pid
    }

    fn start_supervisor<P: Process>(
        self: &Arc<Self>,
        child: &Child,
        me: &mut Me<'_, P>,
    ) -> Pid<ToSupervisor> {
        let Kind::Supervisor {
            strategy,
            intensity,
            period,
            auto_shutdown,
            children,
        } = &child.kind
        else {
            unreachable!("{child} is no supervisor");
        };
        let intensity = Intensity {
            restarts: *intensity,
            period: *period,
        };
        let name = self.name_next(child.slot);
        let specs = Specs {
            world: Arc::clone(self),
            name: name.clone(),
        };
        let children = children.iter().map(|spec| self.spec(spec));
        let children = children.chain([specs_held(specs)]).collect();
        let supervisor =
            Supervisor::new(*strategy, intensity, children).auto_shutdown(*auto_shutdown);
        let pid = me.spawn_link("supervisor", supervisor, NoPort);
        self.started(child.slot, &name, Latest::Supervisor(pid.clone()));
        pid
    }

    fn spec(self: &Arc<Self>, child: &Child) -> Spec {
        let (world, child) = (Arc::clone(self), child.clone());
        let name = Name::numbered("child", child.slot as u64);
        let (restart, shutdown, significant) = (child.restart, child.shutdown, child.significant);
        let spec = Spec::new(name, move |me| {
            world.refuse(child.slot)?;
            match child.kind {
                Kind::Worker(manner) => {
                    let pid = world.start(child.slot, manner, Some(me.process()), me);
                    me.link(&pid.process());
                    Ok(pid.into())
                }
                Kind::Supervisor { .. } => Ok(world.start_supervisor(&child, me).into()),
            }
        });
        let spec = spec.restart(restart).shutdown(shutdown);
        if significant {
            spec.significant()
        } else {
            spec
        }
    }

    /// Fails, or panics every other time, if a start in this slot is to fail.
    fn refuse(&self, slot: Slot) -> io::Result<()> {
        let left = {
            let mut known = self.known();
            let refusals = known.refusals.entry(slot).or_default();
            let left = *refusals;
            *refusals = left.saturating_sub(1);
            if left > 0 {
                known.say(&format!("{slot}.0"), "refused");
            }
            left
        };
        match left {
            0 => Ok(()),
            left if left % 2 == 0 => panic!("indisposed"),
            _ => Err(io::Error::other("indisposed")),
        }
    }
}

fn send_commands<P: Process>(pid: &Pid<Mail>, commands: Vec<Command>, me: &mut Me<'_, P>) {
    if let Err(SendError::Full(mail)) = pid.try_send(Mail::Do(commands)) {
        me.spawn("sender", Sender(Some((pid.clone(), mail))), NoPort);
    }
}

fn send_signal<P: Process>(process: &ProcessRef, signal: Signal, me: &mut Me<'_, P>) {
    match signal {
        Signal::Kill => process.kill(),
        Signal::Exit(end) => me.exit(process, reason(end)),
    }
}

/// Sends what did not fit into a mailbox when the driver sent it.
struct Sender(Option<(Pid<Mail>, Mail)>);

impl Process for Sender {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if let Some((pid, mail)) = self.0.take() {
            me.send(&pid, mail);
        }
        Next::Exit(Reason::Normal)
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

/// The name of a child that no history knows.
const SPECS: Name = Name::new("specs");

/// Held by a supervisor's specs, and dropped with them when it ends.
struct Specs {
    world: Arc<World>,
    name: String,
}

impl Drop for Specs {
    fn drop(&mut self) {
        let mut known = self.world.known();
        known.say(&self.name, "ends");
        let at = known.seen.len() - 1;
        known.ending.push(at);
    }
}

/// Returns the spec of a last child, one that has nothing to do, so that the supervisor keeps the spec.
fn specs_held(specs: Specs) -> Spec {
    let ends = Spec::worker(SPECS, move || {
        let _held = &specs;
        Ends
    });
    ends.restart(Restart::Transient).shutdown(Shutdown::Kill)
}

struct Ends;

impl Process for Ends {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, _: &mut Me<'_, Self>) -> Next {
        Next::Exit(Reason::Normal)
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

fn reason(end: End) -> Reason {
    match end {
        End::Normal => Reason::Normal,
        End::Shutdown => Reason::Shutdown,
        End::Crash(word) => Reason::crash(word),
    }
}
