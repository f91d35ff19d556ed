//! An arbiter: one thread of a node, as a place to start processes in.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use actix::dev::channel::{AddressReceiver, channel};
use poetry::panics::contain;

use super::Process;
use super::cell::{Cell, Inbox, launch};
use super::name::Name;
use super::node::{Local, Node};
use super::pid::{Pid, ProcessRef};
use super::record::Record;
use crate::monitor::Reason;

/// One thread of a node, as a place to start processes in.
#[derive(Clone)]
pub struct Arbiter {
    pub(super) node: Node,
    pub(super) index: usize,
}

impl Arbiter {
    /// Starts the process that `make` makes, in this arbiter. Its pid is good at once; if `make` fails or panics, or
    /// the arbiter has stopped, the process has ended before it began.
    pub fn spawn<P: Process>(
        &self,
        name: Name,
        make: impl FnOnce() -> io::Result<(P, P::Port)> + Send + 'static,
    ) -> Pid<P::Message> {
        self.spawn_linked(name, None, make)
    }

    /// The same, linked from the very beginning.
    pub(super) fn spawn_linked<P: Process>(
        &self,
        name: Name,
        parent: Option<ProcessRef>,
        make: impl FnOnce() -> io::Result<(P, P::Port)> + Send + 'static,
    ) -> Pid<P::Message> {
        let (inbox, mail) = mailbox::<P>(name);
        let pid = Pid(Arc::clone(&inbox) as _);
        if let Some(parent) = parent {
            parent.record().link(pid.process());
            inbox.record.link(parent);
        }
        let unborn = Unborn(Some((inbox, mail)));
        match Local::current().filter(|local| local.is(self)) {
            // Between neighbours, who need no command to the arbiter.
            Some(local) => match made(make) {
                Ok(made) => unborn.begins(local, made),
                // Later, as in any arbiter: nobody can have asked to hear of it yet.
                Err(reason) => self.node.run_in(self.index, move || unborn.ends(&reason)),
            },
            None => self.node.run_in(self.index, move || {
                if let Some(local) = Local::current() {
                    match made(make) {
                        Ok(made) => unborn.begins(local, made),
                        Err(reason) => unborn.ends(&reason),
                    }
                }
            }),
        }
        pid
    }
}

fn made<T>(make: impl FnOnce() -> io::Result<T>) -> Result<T, Reason> {
    match contain(make) {
        Ok(made) => made.map_err(|error| Reason::crash(error.to_string())),
        Err(message) => Err(Reason::crash(message)),
    }
}

/// The two ends of a mailbox: the one that all pids share, and the process's.
type Mailbox<P> = (Arc<Inbox<P>>, AddressReceiver<Cell<P>>);

fn mailbox<P: Process>(name: Name) -> Mailbox<P> {
    let (sender, mail) = channel(0);
    let inbox = Inbox {
        record: Record::new(name, P::MAILBOX),
        addr: Addr::new(sender),
    };
    (Arc::new(inbox), mail)
}

/// A process that has a pid and does not run yet: whoever monitors it hears if it never does.
struct Unborn<P: Process>(Option<Mailbox<P>>);

impl<P: Process> Unborn<P> {
    fn begins(mut self, local: Rc<Local>, made: (P, P::Port)) {
        if let Some((inbox, mail)) = self.0.take() {
            launch(local, inbox, mail, made);
        }
    }

    fn ends(mut self, reason: &Reason) {
        if let Some((inbox, _)) = self.0.take() {
            inbox.record.end(reason);
        }
    }
}

/// The arbiter has stopped.
impl<P: Process> Drop for Unborn<P> {
    fn drop(&mut self) {
        if let Some((inbox, _)) = self.0.take() {
            inbox.record.end(&Reason::NoProcess);
        }
    }
}

pub(super) fn spawn_here<P: Process>(
    local: &Rc<Local>,
    name: Name,
    process: P,
    port: P::Port,
) -> Pid<P::Message> {
    let (inbox, mail) = mailbox::<P>(name);
    launch(Rc::clone(local), Arc::clone(&inbox), mail, (process, port));
    Pid(inbox as _)
}
