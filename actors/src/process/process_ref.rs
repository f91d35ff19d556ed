//! Untyped references to processes, and what the runtime shares about each process: its name, the room in its mailbox,
//! its links, its monitors, and how it ended. The record outlives the process for as long as a reference exists.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::by_id::IdHasher;
use super::info::ProcessInfo;
use super::name::Name;
use super::urgent::Urgent;
use super::watch;
use crate::monitor::{Down, Exit, MonitorId, ProcessId, Reason, TimerId};

/// A signal from the runtime to a process. Signals bypass the mailbox's bound: there are at most as many as there are
/// links, monitors, timers and questions that are waited for, and two from its supervisor.
pub(crate) enum Signal {
    Exit(Exit),
    Down(Down),
    /// One of the process's own timers is due.
    Timer(TimerId),
    /// A question about the process.
    Info(oneshot::Sender<ProcessInfo>),
    Kill,
    TellStart(watch::Start),
    HoldUntilEnd(watch::End),
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
        let (free, capacity) = (record.room.available_permits(), record.capacity as usize);
        (capacity.saturating_sub(free), capacity)
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
            Refs::One(_, heir) if status.ended.is_some() => Some(heir.clone()),
            _ => None,
        }
    }

    /// Asks the process to exit for `reason`. A process that traps exits receives the request and decides. Any other one
    /// exits after the handler it is in, without the messages in its mailbox, but ignores `Normal` (O2).
    ///
    /// The request has no sender: it comes from outside the processes, such as from a thread that waits for SIGTERM. A
    /// supervisor obeys it as if its parent had sent it. A process that asks another to exit calls
    /// [`Me::exit`](super::Me::exit), which names it.
    pub fn exit(&self, reason: Reason) {
        self.signal(Signal::Exit(Exit { from: None, reason }));
    }

    /// Ends the process with [`Reason::Killed`] after the handler it is in, without the messages in its mailbox, even if it
    /// traps exits (O2).
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
    /// The most messages its mailbox holds.
    capacity: u32,
    /// One permit for each message that still fits in the mailbox. Senders are served in order.
    pub(super) room: Semaphore,
    started: AtomicBool,
    pub(super) urgent: Urgent,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    ended: Option<Reason>,
    /// After the end, at most the link to the heir.
    links: Refs<ProcessId>,
    monitors: Refs<MonitorId>,
}

/// The next serial number. It is unique in the program, so that processes of two nodes cannot be confused.
static NEXT: AtomicU64 = AtomicU64::new(1);

pub(super) fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Record {
    pub(super) fn new(name: Name, capacity: usize) -> Self {
        Self {
            id: ProcessId(unique()),
            name,
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
            room: Semaphore::new(capacity),
            started: AtomicBool::new(false),
            urgent: Urgent::default(),
            status: Mutex::default(),
        }
    }

    /// The process has started; called by the process itself. Then it looks for urgent signals, while its supervisor
    /// announces one and then calls [`Record::has_started`]: in one order of all of these, so that one sees the other.
    pub(super) fn set_started(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    /// Sends `watcher` one `Down` when the process ends. If it has ended, returns the reason for an immediate one.
    pub(super) fn monitor(&self, watcher: ProcessRef) -> (MonitorId, Option<Reason>) {
        let monitor = MonitorId(unique());
        let mut status = self.status();
        if status.ended.is_some() {
            return (monitor, Some(Reason::NoProcess));
        }
        status.monitors.insert(monitor, watcher);
        (monitor, None)
    }

    pub(super) fn demonitor(&self, monitor: MonitorId) {
        self.status().monitors.remove(monitor);
    }

    /// Adds one half of a link; returns `false` if the process has ended.
    pub(super) fn link(&self, other: ProcessRef) -> bool {
        let mut status = self.status();
        let is_alive = status.ended.is_none();
        if is_alive {
            status.links.insert(other.id(), other);
        }
        is_alive
    }

    pub(super) fn links(&self) -> Vec<ProcessRef> {
        match &self.status().links {
            Refs::None => Vec::new(),
            Refs::One(_, one) => vec![one.clone()],
            Refs::Many(map) => map.values().cloned().collect(),
        }
    }

    /// Returns the processes that monitor this one, once for each monitor.
    pub(super) fn monitored_by(&self) -> Vec<ProcessId> {
        match &self.status().monitors {
            Refs::None => Vec::new(),
            Refs::One(_, one) => vec![one.id()],
            Refs::Many(map) => map.values().map(ProcessRef::id).collect(),
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
            let heir = heir.map_or(Refs::None, |heir| Refs::One(heir.id(), heir));
            (
                std::mem::replace(&mut status.links, heir),
                std::mem::take(&mut status.monitors),
            )
        };
        // Senders that wait for room fail.
        self.room.close();
        links.for_each(|_, linked| {
            linked.record().unlink(self.id);
            linked.signal(Signal::Exit(Exit {
                from: Some(self.id),
                reason: reason.clone(),
            }));
        });
        monitors.for_each(|monitor, watcher| {
            watcher.signal(Signal::Down(Down {
                monitor,
                process: self.id,
                reason: reason.clone(),
            }));
        });
    }

    /// Every statement leaves the status consistent, so a poisoned lock can still be used.
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Processes by a serial number: for a connection one, for a supervisor or a cache thousands.
#[derive(Default)]
enum Refs<K> {
    #[default]
    None,
    One(K, ProcessRef),
    Many(HashMap<K, ProcessRef, BuildHasherDefault<IdHasher>>),
}

impl<K: Copy + Eq + Hash> Refs<K> {
    fn insert(&mut self, key: K, process: ProcessRef) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(key, process),
            Self::One(first, _) if first == key => Self::One(key, process),
            Self::One(first, other) => {
                Self::Many([(first, other), (key, process)].into_iter().collect())
            }
            Self::Many(mut map) => {
                map.insert(key, process);
                Self::Many(map)
            }
        };
    }

    fn remove(&mut self, key: K) {
        match self {
            Self::One(first, _) if *first == key => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(map) => {
                map.remove(&key);
            }
        }
    }

    fn for_each(self, mut notify: impl FnMut(K, ProcessRef)) {
        match self {
            Self::None => {}
            Self::One(key, process) => notify(key, process),
            Self::Many(map) => map
                .into_iter()
                .for_each(|(key, process)| notify(key, process)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::NoPort;
    use crate::process::{Me, Name, Next, Node, Process, Received};

    /// Monitors another process, if it has one, and ends.
    struct Watcher(Option<ProcessRef>);

    impl Process for Watcher {
        type Message = ();
        type Port = NoPort;

        fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
            match self.0.take() {
                Some(watched) => {
                    me.monitor(&watched);
                    Next::Exit(Reason::Normal)
                }
                None => Next::Receive,
            }
        }

        fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
            Next::Receive
        }
    }

    #[test]
    fn o2_a_process_that_ends_leaves_no_monitor_behind() {
        let (node, clock) = Node::start_on_test_clock().unwrap();
        let spawn = |watched| {
            let watcher = move || Ok((Watcher(watched), NoPort));
            node.arbiter(0)
                .spawn(Name::new("watcher"), watcher)
                .process()
        };
        let watched = spawn(None);
        let watchers = [(); 3].map(|()| spawn(Some(watched.clone())));
        clock.settle();
        assert!(watched.is_alive() && watchers.iter().all(|watcher| !watcher.is_alive()));
        let monitors = std::mem::take(&mut watched.record().status().monitors);
        let mut left = 0;
        monitors.for_each(|_, _| left += 1);
        assert_eq!(left, 0);
        node.stop();
    }
}
