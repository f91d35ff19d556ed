//! Supervisors: processes that start other processes, hear of their exits, and restart them by a strategy, until
//! there were too many restarts (O5). What a supervisor hears and is asked is here; what it does then, one child after
//! another, in `work`; which children an exit concerns, and how many restarts are too many, in `strategy`.

mod child;
mod strategy;
mod work;

use std::collections::VecDeque;
use std::fmt;

pub use child::{Restart, Shutdown, Spec, Start, Started};
pub use strategy::{Intensity, Strategy};
pub use work::KILL_PATIENCE;

use crate::monitor::{Exit, ProcessId, Reason};
use crate::port::NoPort;
use crate::process::{Me, Name, Next, Process, ProcessRef, Received, Reply};
use crate::tree::{ChildInfo, Children};
use child::{Child, Key};
use strategy::{Concerned, Restarts};
use work::{Happened, Then, Work};

/// What a supervisor can be asked for.
pub enum ToSupervisor {
    /// Start a child and keep it; answered with whether it started.
    Start(Spec, Reply<bool>),
    /// Stop the child of this name and forget it; answered with whether there was one.
    Remove(Name, Reply<bool>),
    /// Say what children there are, and what has become of them: `supervisor:which_children`.
    WhichChildren(Reply<Children>),
}

/// A supervisor's state.
pub struct Supervisor {
    strategy: Strategy,
    restarts: Restarts,
    children: Vec<Child>,
    next_key: Key,
    /// Whoever it was linked to before it started anything itself.
    parents: Vec<ProcessId>,
    /// What it is doing; until that is done, what happens and what it is asked waits below.
    work: Option<Work>,
    happened: VecDeque<Happened>,
    asked: VecDeque<ToSupervisor>,
    /// Children that did not start, to be tried again, one for each time it has told itself so.
    again: VecDeque<Key>,
}

impl Supervisor {
    /// A supervisor that will start `children` in order.
    pub fn new(strategy: Strategy, intensity: Intensity, children: Vec<Spec>) -> Self {
        let mut supervisor = Self {
            strategy,
            restarts: Restarts::new(intensity),
            children: Vec::new(),
            next_key: 0,
            parents: Vec::new(),
            work: None,
            happened: VecDeque::new(),
            asked: VecDeque::new(),
            again: VecDeque::new(),
        };
        for spec in children {
            supervisor.add(spec);
        }
        supervisor
    }

    fn add(&mut self, spec: Spec) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        self.children.push(Child::new(key, spec));
        key
    }

    fn child(&mut self, key: Key) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.key == key)
    }

    fn start(&mut self, key: Key, me: &mut Me<'_, Self>) -> bool {
        let Some(child) = self.child(key) else {
            return true;
        };
        child.start(me)
    }

    /// A child ended that nobody stopped: O5's rules.
    fn ended(&mut self, key: Key, reason: &Reason, me: &mut Me<'_, Self>) {
        let Some(child) = self.child(key) else { return };
        if child.spec.restart.restarts_after(reason) {
            self.restart(key, me);
        } else {
            self.forget_if_temporary(key);
        }
    }

    /// A restart that failed is another restart: the intensity bounds how often it is tried. One whose siblings'
    /// restart has started it meanwhile is not tried.
    fn try_again(&mut self, key: Key, me: &mut Me<'_, Self>) {
        if self.child(key).is_some_and(|child| child.did_not_start) {
            self.restart(key, me);
        }
    }

    fn restart(&mut self, key: Key, me: &mut Me<'_, Self>) {
        let Some(child) = self.child(key) else { return };
        child.restarts += 1;
        child.did_not_start = false;
        if self.restarts.are_too_many(me.now()) {
            self.give_up(Reason::Shutdown);
            return;
        }
        let children = self
            .children
            .iter()
            .map(|child| (child.key, child.spec.restart));
        let Concerned { stop, start } = self.strategy.concerned(key, children);
        // Those that have ended at the same time are restarted with this one, not once more for themselves.
        self.happened
            .retain(|happened| !matches!(happened, Happened::Ended(key, _) if stop.contains(key)));
        // A temporary child that is stopped for its siblings' sake is not started again.
        self.work = Some(Work {
            stop,
            stopping: None,
            then: Then::Start(start),
        });
    }

    fn heard_exit(&mut self, exit: Exit, me: &Me<'_, Self>) {
        let child = self.children.iter_mut().find(|child| child.is(exit.from));
        let Some(child) = child else {
            match exit.from {
                // Somebody asks it to go, or whoever started it is gone.
                None => self.give_up(exit.reason),
                Some(from) if self.parents.contains(&from) => self.give_up(exit.reason),
                Some(from) if from == me.process().id() => {
                    let again = self.again.pop_front();
                    self.happened.extend(again.map(Happened::DidNotStart));
                }
                // A child that was left behind, or one of a start that failed.
                Some(_) => {}
            }
            return;
        };
        child.process = None;
        let key = child.key;
        match &mut self.work {
            Some(work) if work.stopping == Some(key) => {
                work.stopping = None;
                self.forget_if_temporary(key);
            }
            // It was to be stopped anyhow.
            Some(work) if work.stop.contains(&key) => self.forget_if_temporary(key),
            _ => self.happened.push_back(Happened::Ended(key, exit.reason)),
        }
    }

    fn asked(&mut self, question: ToSupervisor, me: &mut Me<'_, Self>) {
        match question {
            ToSupervisor::Start(spec, reply) => {
                let key = self.add(spec);
                let started = self.start(key, me);
                if !started {
                    self.children.retain(|child| child.key != key);
                }
                reply.send(started);
            }
            ToSupervisor::Remove(name, reply) => {
                match self.children.iter().find(|child| child.spec.name == name) {
                    None => reply.send(false),
                    Some(child) => {
                        self.work = Some(Work {
                            stop: vec![child.key],
                            stopping: None,
                            then: Then::Forget(child.key, reply),
                        });
                    }
                }
            }
            ToSupervisor::WhichChildren(reply) => reply.send(self.which_children()),
        }
    }

    fn which_children(&self) -> Children {
        Children {
            about: format!("supervisor, {}", self.strategy),
            children: self.children.iter().map(ChildInfo::from).collect(),
            more: 0,
        }
    }
}

impl Process for Supervisor {
    type Message = ToSupervisor;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.parents = me.links();
        let keys: Vec<Key> = self.children.iter().map(|child| child.key).collect();
        for key in keys {
            if !self.start(key, me) {
                self.give_up(Reason::crash("a child did not start"));
                break;
            }
        }
        self.work(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            // It can be looked at while it works.
            Received::Message(ToSupervisor::WhichChildren(reply)) => {
                reply.send(self.which_children())
            }
            Received::Message(question) => self.asked.push_back(question),
            Received::Exit(exit) => self.heard_exit(exit, me),
            Received::Timeout => self.timed_out(me),
            Received::Down(_) => {}
            Received::Port(never) => match never {},
        }
        self.work(me)
    }

    /// Whatever ends a supervisor, its children do not outlive it.
    fn terminate(&mut self, _: &Reason, _: &mut Me<'_, Self>) {
        for child in self.children.iter().rev() {
            child.process.iter().for_each(ProcessRef::kill);
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .children
            .iter()
            .map(|child| child.spec.name.to_string());
        out.debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("children", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
