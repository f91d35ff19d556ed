//! An arbiter: one thread of a node, as a place to start processes in.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use actix::dev::channel::channel;
use actix::{Addr, ArbiterHandle};
use poetry::panics::contain;

use super::Process;
use super::cell::{Inbox, launch};
use super::name::Name;
use super::node::Local;
use super::pid::{Pid, ProcessRef};
use super::record::Record;
use crate::monitor::Reason;

/// One thread of a node, as a place to start processes in.
#[derive(Clone)]
pub struct Arbiter {
    pub(super) handle: ArbiterHandle,
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
        let (sender, mail) = channel(0);
        let inbox = Arc::new(Inbox {
            record: Record::new(name, P::MAILBOX),
            addr: Addr::new(sender),
        });
        let process = ProcessRef(Arc::clone(&inbox) as _);
        if let Some(parent) = parent {
            parent.record().link(process.clone());
            inbox.record.link(parent);
        }
        let unborn = Unborn(Some(process));
        let pid = Pid(Arc::clone(&inbox) as _);
        self.handle
            .spawn_fn(move || match (Local::current(), contain(make)) {
                (Some(local), Ok(Ok(made))) => {
                    unborn.begins();
                    launch(local, inbox, mail, made);
                }
                (None, _) => {}
                (_, Ok(Err(error))) => unborn.failed(Reason::crash(error.to_string())),
                (_, Err(message)) => unborn.failed(Reason::crash(message)),
            });
        pid
    }
}

/// A process that has a pid and does not run yet: whoever monitors it hears if it never does.
struct Unborn(Option<ProcessRef>);

impl Unborn {
    fn begins(mut self) {
        self.0 = None;
    }

    fn failed(mut self, reason: Reason) {
        if let Some(process) = self.0.take() {
            process.record().end(&reason);
        }
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            process.record().end(&Reason::NoProcess);
        }
    }
}

pub(super) fn spawn_here<P: Process>(
    local: &Rc<Local>,
    name: Name,
    process: P,
    port: P::Port,
) -> Pid<P::Message> {
    let (sender, mail) = channel(0);
    let inbox = Arc::new(Inbox {
        record: Record::new(name, P::MAILBOX),
        addr: Addr::new(sender),
    });
    launch(Rc::clone(local), Arc::clone(&inbox), mail, (process, port));
    Pid(inbox as _)
}
