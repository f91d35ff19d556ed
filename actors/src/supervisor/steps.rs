//! The steps of a supervisor: it stops children one after another, waits for each, and then starts some or exits. Exits and
//! requests that arrive meanwhile wait.

use std::time::Duration;

use super::Supervisor;
use super::child::{Child, Key, Restart, Shutdown};
use crate::monitor::{Down, MonitorId, Reason};
use crate::process::{Me, Next, Reply};

/// How long a killed child may take to end. A child that stays in one handler for longer cannot be stopped; the supervisor
/// abandons it and counts it in the tree.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// An event that waits for the supervisor.
pub(super) enum Event {
    /// A child ended on its own, not because the supervisor stopped it.
    Ended(Key, Reason),
    /// A restart failed and is tried again.
    StartFailed(Key),
}

/// Children to stop one after another, and the step after that.
pub(super) struct Stopping {
    /// The children left to stop, the last first.
    pub(super) left: Vec<Key>,
    /// The child that is being stopped.
    pub(super) current: Option<Current>,
    pub(super) then: Then,
}

/// The child that was told to stop. Its end is known by a monitor, as in OTP, since a child can take its link away.
#[derive(Clone, Copy)]
pub(super) struct Current {
    key: Key,
    monitor: MonitorId,
}

impl Stopping {
    /// Returns whether the child of `key` has been told to stop and has not ended.
    pub(super) fn is_stopping(&self, key: Key) -> bool {
        self.current.is_some_and(|current| current.key == key)
    }
}

/// The next step once all of them are stopped.
pub(super) enum Then {
    /// Start these, in this order.
    Start(Vec<Key>),
    /// Remove this one and reply.
    Remove(Key, Reply<bool>),
    /// Exit.
    Exit(Reason),
}

impl Supervisor {
    /// Takes steps until it has to wait for a child or has nothing to do.
    pub(super) fn step(&mut self, me: &mut Me<'_, Self>) -> Next {
        loop {
            if let Some(stopping) = &mut self.stopping {
                if stopping.current.is_some() {
                    return Next::Receive;
                }
                match stopping.left.pop() {
                    Some(key) => self.stop(key, me),
                    None => {
                        if let Some(reason) = self.all_stopped(me) {
                            return Next::Exit(reason);
                        }
                    }
                }
            } else if let Some(event) = self.events.pop_front() {
                match event {
                    Event::Ended(key, reason) => self.ended(key, &reason, me),
                    Event::StartFailed(key) => self.try_again(key, me),
                }
            } else if let Some(request) = self.requests.pop_front() {
                self.handle(request, me);
            } else {
                return Next::Receive;
            }
        }
    }

    /// Starts to stop one child, as its spec says.
    fn stop(&mut self, key: Key, me: &mut Me<'_, Self>) {
        let Some(child) = self.child(key) else { return };
        let Some(process) = &child.process else {
            child.start_failed = false;
            self.remove_if_temporary(key);
            return;
        };
        let monitor = me.monitor(process);
        match child.spec.shutdown {
            Shutdown::Kill => {
                process.kill();
                me.after(KILL_TIMEOUT);
            }
            Shutdown::After(patience) => {
                me.exit(process, Reason::Shutdown);
                me.after(patience);
            }
            Shutdown::Infinity => {
                me.exit(process, Reason::Shutdown);
                me.forever();
            }
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.current = Some(Current { key, monitor });
        }
    }

    /// The child that is being stopped has ended.
    pub(super) fn stopped(&mut self, down: &Down) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        let current = stopping.current.take_if(|it| it.monitor == down.monitor);
        let Some(Current { key, .. }) = current else {
            return;
        };
        if let Some(child) = self.child(key) {
            child.process = None;
        }
        self.remove_if_temporary(key);
    }

    /// All children that had to stop have stopped. Returns the reason to exit for, if the supervisor exits.
    fn all_stopped(&mut self, me: &mut Me<'_, Self>) -> Option<Reason> {
        match self.stopping.take()?.then {
            Then::Exit(reason) => return Some(reason),
            Then::Remove(key, reply) => {
                self.children.retain(|child| child.key != key);
                reply.send(true);
            }
            Then::Start(keys) => {
                for key in keys {
                    if !self.start(key, me) {
                        // The children after it are started with it, after all waiting events.
                        self.retries.push_back(key);
                        me.exit_to_itself();
                        break;
                    }
                }
            }
        }
        None
    }

    /// Stops all children, the last first, and exits for `reason`.
    pub(super) fn stop_all(&mut self, reason: Reason) {
        let current = self.stopping.take().and_then(|stopping| stopping.current);
        self.stopping = Some(Stopping {
            left: self.children.iter().map(|child| child.key).collect(),
            current,
            then: Then::Exit(reason),
        });
    }

    pub(super) fn remove_if_temporary(&mut self, key: Key) {
        let temporary =
            |child: &Child| child.key == key && child.spec.restart == Restart::Temporary;
        self.children.retain(|child| !temporary(child));
    }

    /// The child that is being stopped takes too long: it is killed, and then abandoned.
    pub(super) fn time_out(&mut self, me: &mut Me<'_, Self>) {
        me.forever();
        let current = self.stopping.as_ref().and_then(|it| it.current);
        let Some(Current { key, monitor }) = current else {
            return;
        };
        let killed = self.child(key).is_some_and(Child::kill);
        if killed {
            me.after(KILL_TIMEOUT);
        } else {
            if let Some(process) = self.child(key).and_then(Child::abandon) {
                me.unlink(&process);
                me.demonitor(monitor, &process);
            }
            if let Some(stopping) = &mut self.stopping {
                stopping.current = None;
            }
        }
    }
}
