//! What a supervisor does, one child after another: it stops some, waits for each, and then starts some or exits. What
//! happens meanwhile waits.

use std::time::Duration;

use super::Supervisor;
use super::child::{Child, Key, Restart, Shutdown};
use crate::monitor::Reason;
use crate::process::{Me, Next, Reply};

/// How long a killed child may take to end. One that handles a message for longer cannot be stopped, only left
/// behind; it is shown as such.
pub const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// What a supervisor acts on.
pub(super) enum Happened {
    /// A child ended that nobody had stopped.
    Ended(Key, Reason),
    /// A child that was to be restarted did not start; it is tried again.
    DidNotStart(Key),
}

/// Children to stop, one after another, and what follows.
pub(super) struct Work {
    /// The last is stopped first.
    pub(super) stop: Vec<Key>,
    /// The one that is being stopped.
    pub(super) stopping: Option<Key>,
    pub(super) then: Then,
}

pub(super) enum Then {
    /// Start these, in this order.
    Start(Vec<Key>),
    /// Forget this one and say so.
    Forget(Key, Reply<bool>),
    /// Exit.
    Exit(Reason),
}

impl Supervisor {
    /// Goes on until it has to wait for a child, or there is nothing to do.
    pub(super) fn work(&mut self, me: &mut Me<'_, Self>) -> Next {
        loop {
            if let Some(work) = &mut self.work {
                if work.stopping.is_some() {
                    return Next::Receive;
                }
                match work.stop.pop() {
                    Some(key) => self.stop(key, me),
                    None => {
                        if let Some(reason) = self.follow(me) {
                            return Next::Exit(reason);
                        }
                    }
                }
            } else if let Some(happened) = self.happened.pop_front() {
                match happened {
                    Happened::Ended(key, reason) => self.ended(key, &reason, me),
                    Happened::DidNotStart(key) => self.try_again(key, me),
                }
            } else if let Some(question) = self.asked.pop_front() {
                self.asked(question, me);
            } else {
                return Next::Receive;
            }
        }
    }

    /// Begins to stop one child, as its spec says.
    fn stop(&mut self, key: Key, me: &mut Me<'_, Self>) {
        let Some(child) = self.child(key) else { return };
        let Some(process) = &child.process else {
            child.did_not_start = false;
            self.forget_if_temporary(key);
            return;
        };
        match child.spec.shutdown {
            Shutdown::Kill => {
                process.kill();
                me.after(KILL_PATIENCE);
            }
            Shutdown::After(patience) => {
                process.exit(Reason::Shutdown);
                me.after(patience);
            }
            Shutdown::Infinity => {
                process.exit(Reason::Shutdown);
                me.forever();
            }
        }
        if let Some(work) = &mut self.work {
            work.stopping = Some(key);
        }
    }

    /// All are stopped that had to be; the reason to exit for, if that is what follows.
    fn follow(&mut self, me: &mut Me<'_, Self>) -> Option<Reason> {
        match self.work.take()?.then {
            Then::Exit(reason) => return Some(reason),
            Then::Forget(key, reply) => {
                self.children.retain(|child| child.key != key);
                reply.send(true);
            }
            Then::Start(keys) => {
                for key in keys {
                    if !self.start(key, me) {
                        // Those behind it are tried with it, once everything has had its turn that has happened.
                        self.again.push_back(key);
                        me.exit_to_itself();
                        break;
                    }
                }
            }
        }
        None
    }

    /// Stops everything, the last first, and exits.
    pub(super) fn give_up(&mut self, reason: Reason) {
        let stopping = self.work.take().and_then(|work| work.stopping);
        self.work = Some(Work {
            stop: self.children.iter().map(|child| child.key).collect(),
            stopping,
            then: Then::Exit(reason),
        });
    }

    pub(super) fn forget_if_temporary(&mut self, key: Key) {
        let temporary =
            |child: &Child| child.key == key && child.spec.restart == Restart::Temporary;
        self.children.retain(|child| !temporary(child));
    }

    /// The child that is being stopped takes too long: it is killed, then left behind.
    pub(super) fn timed_out(&mut self, me: &mut Me<'_, Self>) {
        me.forever();
        let Some(key) = self.work.as_ref().and_then(|work| work.stopping) else {
            return;
        };
        let killed = self.child(key).is_some_and(Child::kill);
        if killed {
            me.after(KILL_PATIENCE);
        } else {
            if let Some(process) = self.child(key).and_then(Child::leave_behind) {
                me.unlink(&process);
            }
            if let Some(work) = &mut self.work {
                work.stopping = None;
            }
        }
    }
}
