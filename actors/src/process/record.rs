//! What is known of a process from outside: its name, the room in its mailbox, who is linked to it and who
//! monitors it. It outlives the process for as long as anybody has a pid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::by_id::ById;
use super::name::Name;
use super::pid::{ProcessRef, Signal};
use crate::monitor::{Down, Exit, MonitorId, ProcessId, Reason};

/// One process, seen from outside.
pub(crate) struct Record {
    pub(crate) id: ProcessId,
    pub(crate) name: Name,
    pub(crate) capacity: usize,
    /// A permit for every message the mailbox has room for; first come, first served.
    pub(crate) room: Semaphore,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    ended: Option<Reason>,
    links: Links,
    monitors: Vec<(MonitorId, ProcessRef)>,
}

/// Unique in the program, so that no two nodes' processes can be mistaken for each other.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Record {
    pub(crate) fn new(name: Name, capacity: usize) -> Self {
        Self {
            id: ProcessId(unique()),
            name,
            capacity,
            room: Semaphore::new(capacity),
            status: Mutex::default(),
        }
    }

    /// Messages sent and not taken yet.
    pub(crate) fn queued(&self) -> usize {
        self.capacity.saturating_sub(self.room.available_permits())
    }

    /// Why the process ended, if it has.
    pub(crate) fn ended(&self) -> Option<Reason> {
        self.status().ended.clone()
    }

    /// Tells `watcher` once when the process has ended; if it has, the reason comes back at once.
    pub(crate) fn monitor(&self, watcher: ProcessRef) -> (MonitorId, Option<Reason>) {
        let monitor = MonitorId(unique());
        let mut status = self.status();
        if status.ended.is_some() {
            return (monitor, Some(Reason::NoProcess));
        }
        if status.monitors.is_empty() {
            // Most have one.
            status.monitors.reserve_exact(1);
        }
        status.monitors.push((monitor, watcher));
        (monitor, None)
    }

    pub(crate) fn demonitor(&self, monitor: MonitorId) {
        self.status().monitors.retain(|(id, _)| *id != monitor);
    }

    /// One half of a link; `false` if the process has ended.
    pub(crate) fn link(&self, other: ProcessRef) -> bool {
        let mut status = self.status();
        let alive = status.ended.is_none();
        if alive {
            status.links.insert(other);
        }
        alive
    }

    pub(crate) fn links(&self) -> Vec<ProcessId> {
        match &self.status().links {
            Links::None => Vec::new(),
            Links::One(one) => vec![one.id()],
            Links::Many(map) => map.keys().copied().collect(),
        }
    }

    pub(crate) fn unlink(&self, other: ProcessId) {
        self.status().links.remove(other);
    }

    /// The process has ended and released what it held: tells those who are linked to it or monitor it.
    pub(crate) fn end(&self, reason: &Reason) {
        let (links, monitors) = {
            let mut status = self.status();
            if status.ended.is_some() {
                return;
            }
            status.ended = Some(reason.clone());
            (
                std::mem::take(&mut status.links),
                std::mem::take(&mut status.monitors),
            )
        };
        // Senders that wait for room learn that there will be none.
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

    /// The status is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes linked to one: for a connection its supervisor, for a supervisor thousands.
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

    fn for_each(self, tell: impl Fn(ProcessRef)) {
        match self {
            Self::None => {}
            Self::One(one) => tell(one),
            Self::Many(map) => map.into_values().for_each(tell),
        }
    }
}
