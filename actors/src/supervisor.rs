//! Supervisors: processes that start others and restart them by a strategy until there are too many restarts (O5). This
//! file receives exits and requests; `steps` starts and stops children, one after another; `strategy` decides which
//! children a restart affects and how many restarts are too many.

mod child;
mod spec;
mod steps;
mod strategy;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

pub use child::{ChildError, FailedToStart};
pub use spec::{AutoShutdown, Restart, Shutdown, Spec, Started};
pub use steps::{KILL_TIMEOUT, START_TIMEOUT};
pub use strategy::{Intensity, Strategy};

use crate::monitor::{Exit, ProcessId, Reason};
use crate::port::NoPort;
use crate::process::{Me, Name, Next, Process, ProcessRef, Received, Reply};
use crate::tree::Children;
use child::{Child, Key};
use steps::{Starting, Stopped};
use strategy::{Affected, Restarts};

/// A request to a supervisor.
pub enum ToSupervisor {
    /// Start a child and supervise it: `supervisor:start_child`. The reply is whether it started; it does not if the
    /// supervisor has a child of its name.
    Start(Spec, Reply<bool>),
    /// Stop the child of this name and remove it: `supervisor:terminate_child`, `supervisor:delete_child`. The reply is
    /// whether there was one.
    Remove(Name, Reply<bool>),
    /// Stop the child of this name and keep its spec: `supervisor:terminate_child`. A temporary child is removed.
    Terminate(Name, Reply<Result<(), ChildError>>),
    /// Start the child of this name, which does not run, again: `supervisor:restart_child`.
    Restart(Name, Reply<Result<(), ChildError>>),
    /// Remove the child of this name, which does not run: `supervisor:delete_child`.
    Delete(Name, Reply<Result<(), ChildError>>),
    /// List the children: `supervisor:which_children`.
    WhichChildren(Reply<Children>),
}

/// A supervisor. While it starts or stops children it receives nothing else, as in OTP.
///
/// ```
/// use actors::{Intensity, Me, Next, NoPort, Node, Process, Received, Reply};
/// use actors::{Shutdown, Spec, Strategy, Supervisor};
///
/// struct Echo;
///
/// impl Process for Echo {
///     type Message = Reply<&'static str>;
///     type Port = NoPort;
///
///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
///         if let Received::Message(reply) = received {
///             reply.send("echo");
///         }
///         Next::Receive
///     }
/// }
///
/// let echo = Spec::registered("echo", || Echo).shutdown(Shutdown::Kill);
/// let node = Node::start_one()?;
/// node.spawn("supervisor", Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![echo]));
/// node.stop();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Supervisor {
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    restarts: Restarts,
    children: Vec<Child>,
    next_key: Key,
    /// The processes it was linked to before it started any child.
    parents: Vec<ProcessId>,
    /// Failed starts to try again, one for each exit the supervisor has sent to itself.
    retries: VecDeque<Key>,
}

impl Supervisor {
    /// Creates a supervisor that starts `children` in order.
    pub fn new(strategy: Strategy, intensity: Intensity, children: Vec<Spec>) -> Self {
        let mut supervisor = Self {
            strategy,
            auto_shutdown: AutoShutdown::Never,
            restarts: Restarts::new(intensity),
            children: Vec::new(),
            next_key: 0,
            parents: Vec::new(),
            retries: VecDeque::new(),
        };
        for spec in children {
            supervisor.add(spec);
        }
        supervisor
    }

    /// Sets whether it exits when significant children have ended: `auto_shutdown`.
    #[must_use]
    pub fn auto_shutdown(self, auto_shutdown: AutoShutdown) -> Self {
        Self {
            auto_shutdown,
            ..self
        }
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

    fn exited(&mut self, exit: Exit, me: &mut Me<'_, Self>) -> Next {
        if let Some(child) = self.children.iter_mut().find(|child| child.is(exit.from)) {
            let key = child.key;
            child.process = None;
            return self.ended(key, &exit.reason, me);
        }
        match exit.from {
            // It is asked to exit, or its parent has ended.
            None => self.stop_all(exit.reason, me),
            Some(from) if self.parents.contains(&from) => self.stop_all(exit.reason, me),
            Some(from) if from == me.process().id() => match self.retries.pop_front() {
                Some(key) => self.try_again(key, me),
                None => Next::Receive,
            },
            // A child that was stopped or abandoned, or a process of a failed start.
            Some(_) => Next::Receive,
        }
    }

    /// A child ended on its own, not because the supervisor stopped it.
    fn ended(&mut self, key: Key, reason: &Reason, me: &mut Me<'_, Self>) -> Next {
        let Some(child) = self.child(key) else {
            return Next::Receive;
        };
        if child.spec.restart.restarts_after(reason) {
            return self.restart(key, reason.to_string(), me);
        }
        let significant = child.spec.significant;
        self.remove_if_temporary(key);
        let mut others = self.children.iter().filter(|child| child.spec.significant);
        match self.auto_shutdown {
            AutoShutdown::AnySignificant if significant => self.stop_all(Reason::Shutdown, me),
            AutoShutdown::AllSignificant if significant && !others.any(Child::is_running) => {
                self.stop_all(Reason::Shutdown, me)
            }
            _ => Next::Receive,
        }
    }

    /// Tries a failed restart again. It counts as another restart, so the intensity bounds the tries. A sibling's restart
    /// may have started the child meanwhile.
    fn try_again(&mut self, key: Key, me: &mut Me<'_, Self>) -> Next {
        if self.child(key).is_some_and(|child| child.start_failed) {
            return self.restart(key, "its start failed".to_owned(), me);
        }
        Next::Receive
    }

    /// Restarts the child of `key`, and the siblings that the strategy takes along. Its process has ended because of `cause`.
    fn restart(&mut self, key: Key, cause: String, me: &mut Me<'_, Self>) -> Next {
        let Some(child) = self.child(key) else {
            return Next::Receive;
        };
        let name = child.spec.name;
        child.restarts += 1;
        child.start_failed = false;
        if self.restarts.are_too_many(me.now()) {
            return self.stop_all(Reason::Shutdown, me);
        }
        let children = self
            .children
            .iter()
            .map(|child| (child.key, child.spec.restart));
        let Affected { stop, start } = self.strategy.affected(key, children);
        let at = me.now();
        let affected = self.children.iter_mut();
        for child in affected.filter(|child| start.contains(&child.key)) {
            child.restarted = Some(match child.key == key {
                true => (at, format!(": {cause}")),
                false => (at, format!(" with {name}")),
            });
        }
        self.stop(stop, Stopped::Start(start), me)
    }

    fn handle(&mut self, request: ToSupervisor, me: &mut Me<'_, Self>) -> Next {
        match request {
            ToSupervisor::Start(spec, reply) => {
                if self.find(spec.name).is_some() || self.flaw(&spec).is_some() {
                    reply.send(false);
                    return Next::Receive;
                }
                let key = self.add(spec);
                return self.start([key].into(), Starting::Asked(reply), me);
            }
            ToSupervisor::Remove(name, reply) => match self.find(name) {
                None => reply.send(false),
                Some(child) => {
                    let key = child.key;
                    return self.stop(vec![key], Stopped::Remove(key, reply), me);
                }
            },
            ToSupervisor::Terminate(name, reply) => match self.find(name) {
                Some(child) => {
                    let key = child.key;
                    return self.stop(vec![key], Stopped::Reply(reply), me);
                }
                None => reply.send(Err(ChildError::NotFound)),
            },
            ToSupervisor::Restart(name, reply) => match self.stopped(name) {
                Ok(key) => return self.start([key].into(), Starting::Again(reply), me),
                Err(error) => reply.send(Err(error)),
            },
            ToSupervisor::Delete(name, reply) => {
                let stopped = self.stopped(name);
                self.children.retain(|child| stopped != Ok(child.key));
                reply.send(stopped.map(drop));
            }
            ToSupervisor::WhichChildren(reply) => reply.send(self.which_children(me.now())),
        }
        Next::Receive
    }

    fn find(&self, name: Name) -> Option<&Child> {
        self.children.iter().find(|child| child.spec.name == name)
    }

    /// Returns the child of `name` if it does not run and is not to be started again.
    fn stopped(&self, name: Name) -> Result<Key, ChildError> {
        match self.find(name) {
            None => Err(ChildError::NotFound),
            Some(child) if child.start_failed => Err(ChildError::Restarting),
            Some(child) if child.process.is_some() => Err(ChildError::Running),
            Some(child) => Ok(child.key),
        }
    }

    fn which_children(&self, now: Duration) -> Children {
        Children {
            about: format!("supervisor, {}", self.strategy),
            children: self.children.iter().map(|child| child.info(now)).collect(),
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
        let mut names = HashSet::new();
        for Child { spec, .. } in &self.children {
            let is_new = names.insert(spec.name);
            let twice = (!is_new).then(|| format!("two children have the name {}", spec.name));
            if let Some(flaw) = twice.or_else(|| self.flaw(spec)) {
                return Next::Exit(Reason::crash(flaw));
            }
        }
        let keys = self.children.iter().map(|child| child.key).collect();
        self.start(keys, Starting::First, me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(request) => self.handle(request, me),
            Received::Exit(exit) => self.exited(exit, me),
            Received::Timeout | Received::Down(_) => Next::Receive,
            Received::Port(never) => match never {},
        }
    }

    /// Children do not outlive their supervisor.
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
