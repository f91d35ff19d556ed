//! Untyped references to processes, and what the runtime shares about each process: its name, the room in its mailbox,
//! its links, its monitors, and how it ended. The record outlives the process for as long as a reference exists.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::by_id::ById;
use super::name::Name;
use crate::monitor::{Down, Exit, MonitorId, ProcessId, Reason};

/// A signal from the runtime to a process. Signals bypass the mailbox's bound: there are at most as many as there are
/// links and monitors.
pub(crate) enum Signal {
    Exit(Exit),
    Down(Down),
    Kill,
}

/// A mailbox, whatever its type of messages.
pub(crate) trait AnyMailbox: Send + Sync {
    fn record(&self) -> &Record;
    /// Delivers `signal`, unless the process has ended.
    fn signal(&self, signal: Signal);
}

/// A type-erased reference to a process. It can monitor, link and stop the process but not send to it.
#[derive(Clone)]
pub struct ProcessRef(pub(super) Arc<dyn AnyMailbox>);

impl ProcessRef {
    /// Returns the process's serial number.
    pub fn id(&self) -> ProcessId {
        self.record().id
    }

    /// Returns the process's name.
    pub fn name(&self) -> Name {
        self.record().name
    }

    /// Returns the number of messages in the mailbox, and its capacity.
    pub fn mailbox(&self) -> (usize, usize) {
        let record = self.record();
        let free = record.room.available_permits();
        (record.capacity.saturating_sub(free), record.capacity)
    }

    /// Returns whether the process has not ended.
    pub fn is_alive(&self) -> bool {
        self.exit_reason().is_none()
    }

    /// Returns why the process ended, if it has.
    pub fn exit_reason(&self) -> Option<Reason> {
        self.record().status().ended.clone()
    }

    /// Returns the process that took over this one's port, once this one has ended ([`Me::hand_over`](super::Me::hand_over)).
    pub fn heir(&self) -> Option<ProcessRef> {
        let status = self.record().status();
        match &status.links {
            Links::One(heir) if status.ended.is_some() => Some(heir.clone()),
            _ => None,
        }
    }

    /// Asks the process to exit for `reason`. A process that traps exits receives the request and decides; any other one
    /// exits before its next message, but ignores `Normal`.
    pub fn exit(&self, reason: Reason) {
        self.signal(Signal::Exit(Exit { from: None, reason }));
    }

    /// Ends the process with [`Reason::Killed`] after the handler it is in, even if it traps exits.
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }

    pub(super) fn record(&self) -> &Record {
        self.0.record()
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }
}

impl fmt::Debug for ProcessRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ProcessRef<{} {}>", self.id().0, self.name())
    }
}

/// What the runtime shares about one process.
pub(crate) struct Record {
    pub(super) id: ProcessId,
    pub(super) name: Name,
    pub(super) capacity: usize,
    /// One permit for each message that still fits in the mailbox. Senders are served in order.
    pub(super) room: Semaphore,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    ended: Option<Reason>,
    /// After the end, at most the link to the heir.
    links: Links,
    monitors: Vec<(MonitorId, ProcessRef)>,
}

/// The next serial number. It is unique in the program, so that processes of two nodes cannot be confused.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Record {
    pub(super) fn new(name: Name, capacity: usize) -> Self {
        Self {
            id: ProcessId(unique()),
            name,
            capacity,
            room: Semaphore::new(capacity),
            status: Mutex::default(),
        }
    }

    /// Sends `watcher` one `Down` when the process ends. If it has ended, returns the reason for an immediate one.
    pub(super) fn monitor(&self, watcher: ProcessRef) -> (MonitorId, Option<Reason>) {
        let monitor = MonitorId(unique());
        let mut status = self.status();
        if status.ended.is_some() {
            return (monitor, Some(Reason::NoProcess));
        }
        if status.monitors.is_empty() {
            // Most processes have one monitor.
            status.monitors.reserve_exact(1);
        }
        status.monitors.push((monitor, watcher));
        (monitor, None)
    }

    pub(super) fn demonitor(&self, monitor: MonitorId) {
        self.status().monitors.retain(|(id, _)| *id != monitor);
    }

    /// Adds one half of a link; returns `false` if the process has ended.
    pub(super) fn link(&self, other: ProcessRef) -> bool {
        let mut status = self.status();
        let is_alive = status.ended.is_none();
        if is_alive {
            status.links.insert(other);
        }
        is_alive
    }

    pub(super) fn links(&self) -> Vec<ProcessRef> {
        match &self.status().links {
            Links::None => Vec::new(),
            Links::One(one) => vec![one.clone()],
            Links::Many(map) => map.values().cloned().collect(),
        }
    }

    pub(super) fn unlink(&self, other: ProcessId) {
        self.status().links.remove(other);
    }

    /// Marks the process as ended and notifies the processes that are linked to it or monitor it. Called after it has
    /// released everything it owned.
    pub(super) fn end(&self, reason: &Reason, heir: Option<ProcessRef>) {
        let (links, monitors) = {
            let mut status = self.status();
            if status.ended.is_some() {
                return;
            }
            status.ended = Some(reason.clone());
            (
                std::mem::replace(&mut status.links, heir.map_or(Links::None, Links::One)),
                std::mem::take(&mut status.monitors),
            )
        };
        // Senders that wait for room fail.
        self.room.close();
        links.for_each(|linked| {
            linked.record().unlink(self.id);
            linked.signal(Signal::Exit(Exit {
                from: Some(self.id),
                reason: reason.clone(),
            }));
        });
        for (monitor, watcher) in monitors {
            watcher.signal(Signal::Down(Down {
                monitor,
                process: self.id,
                reason: reason.clone(),
            }));
        }
    }

    /// Every statement leaves the status consistent, so a poisoned lock can still be used.
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes linked to a process: for a connection its supervisor, for a supervisor thousands of connections.
#[derive(Default)]
enum Links {
    #[default]
    None,
    One(ProcessRef),
    Many(ById<ProcessRef>),
}

impl Links {
    fn insert(&mut self, other: ProcessRef) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(other),
            Self::One(one) if one.id() == other.id() => Self::One(one),
            Self::One(one) => {
                Self::Many([(one.id(), one), (other.id(), other)].into_iter().collect())
            }
            Self::Many(mut map) => {
                map.insert(other.id(), other);
                Self::Many(map)
            }
        };
    }

    fn remove(&mut self, other: ProcessId) {
        match self {
            Self::One(one) if one.id() == other => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(map) => {
                map.remove(&other);
            }
        }
    }

    fn for_each(self, notify: impl Fn(ProcessRef)) {
        match self {
            Self::None => {}
            Self::One(one) => notify(one),
            Self::Many(map) => map.into_values().for_each(notify),
        }
    }
}
