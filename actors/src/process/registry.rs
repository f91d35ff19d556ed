//! The names under which the processes of a node are registered (O9).

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::name::Name;
use super::pid::Pid;
use super::process_ref::ProcessRef;
use crate::monitor::ProcessId;

/// Names kept before those of processes that have ended are looked for.
const SWEPT_MIN: usize = 16;

/// The registered names of a node.
#[derive(Default)]
pub(super) struct Registry(Mutex<Names>);

#[derive(Default)]
struct Names {
    held: HashMap<Name, Registered>,
    /// The names that were held after the last sweep. At twice as many, those of ended processes are removed, so that a
    /// name costs constant time and no more are kept than twice those that are held.
    swept: usize,
}

/// A process registered under a name.
struct Registered {
    process: ProcessRef,
    pid: Box<dyn Any + Send>,
}

impl Registry {
    pub(super) fn register<M: 'static>(
        &self,
        name: Name,
        pid: &Pid<M>,
    ) -> Result<(), RegisterError> {
        let process = pid.process();
        if !process.is_alive() {
            return Err(RegisterError::NoProcess(name));
        }
        let mut names = self.names();
        if let Some(holder) = names.holder(name) {
            let holder = holder.process.id();
            return Err(RegisterError::Taken { name, holder });
        }
        names.sweep();
        let pid = Box::new(pid.clone());
        names.held.insert(name, Registered { process, pid });
        Ok(())
    }

    pub(super) fn unregister(&self, name: Name) -> bool {
        let held = self.names().held.remove(&name);
        held.is_some_and(|held| held.process.is_alive())
    }

    pub(super) fn whereis<M: 'static>(&self, name: Name) -> Option<Pid<M>> {
        let names = self.names();
        names.holder(name)?.pid.downcast_ref::<Pid<M>>().cloned()
    }

    /// Every statement leaves the names consistent, so a poisoned lock can still be used.
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    /// Returns the live process that holds `name`. A name is free as soon as its process has ended.
    fn holder(&self, name: Name) -> Option<&Registered> {
        let held = self.held.get(&name);
        held.filter(|held| held.process.is_alive())
    }

    fn sweep(&mut self) {
        if self.held.len() >= SWEPT_MIN.max(2 * self.swept) {
            self.held.retain(|_, held| held.process.is_alive());
            self.swept = self.held.len();
        }
    }
}

/// Why a process was not registered (O9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterError {
    /// Another live process has the name.
    Taken {
        /// The name.
        name: Name,
        /// The process that has it.
        holder: ProcessId,
    },
    /// The process to be registered under this name has ended.
    NoProcess(Name),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { name, holder } => {
                let ProcessId(holder) = holder;
                write!(out, "process {holder} is registered as {name}")
            }
            Self::NoProcess(name) => {
                write!(out, "the process to register as {name} has ended")
            }
        }
    }
}

impl std::error::Error for RegisterError {}

/// So that the start function of a [`Spec`](crate::Spec) can return it.
impl From<RegisterError> for io::Error {
    fn from(error: RegisterError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Process, Received};
    use super::*;
    use crate::port::NoPort;
    use crate::process::{Me, Next};

    struct Idle;

    impl Process for Idle {
        type Message = ();
        type Port = NoPort;

        fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
            Next::Receive
        }
    }

    #[test]
    fn o9_names_of_processes_that_have_ended_are_not_kept_for_ever() {
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let registry = Registry::default();
        let lasting = node.spawn("lasting", Idle);
        registry.register("lasting".into(), &lasting).unwrap();
        for number in 0..100 {
            let pid = node.spawn("passing", Idle);
            registry
                .register(Name::numbered("passing", number), &pid)
                .unwrap();
            pid.process().kill();
            clock.settle();
        }
        assert!(registry.names().held.len() <= SWEPT_MIN);
        assert!(registry.whereis::<()>("lasting".into()).is_some());
        node.stop();
    }
}
