//! Which poems can be fetched now: those whose names are resolved, in batches, within the limit on fetches at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use poetry::{FetchRequest, Outcome, Via};

use super::task::Task;
use crate::args::Address;
use crate::resolve::{self, Resolved};

/// Batches under way at once, each in a thread: more than the moments at which names are resolved, except for a very long
/// list of names. Then some wait until a batch ends.
const BATCHES_MAX: usize = 256;

/// What the schedule hears from other threads.
pub(super) enum Message {
    /// A name was looked up.
    Resolved(String, Resolved),
    /// The tasks of a batch have ended with these outcomes.
    Ended(Arc<Batch>, Vec<Outcome>),
    /// No more names will be resolved: the whole fetch was cancelled, or the names are out of time.
    NamesEnd,
}

/// Tasks that are fetched together.
#[derive(Debug)]
pub(super) struct Batch {
    /// The indices of the tasks, in order.
    pub(super) tasks: Vec<usize>,
    pub(super) requests: Vec<FetchRequest>,
    /// How many of them may be under way at once.
    pub(super) share: usize,
}

/// The tasks that wait for names, that can begin, and that have ended.
pub(super) struct Schedule<'t> {
    tasks: &'t [Task],
    /// How long names may take.
    wait: Duration,
    /// The tasks that wait for each name.
    waiting: BTreeMap<String, Vec<usize>>,
    /// For each task, how many names it waits for.
    names_left: Vec<usize>,
    resolved: BTreeMap<String, Resolved>,
    ready: BTreeSet<usize>,
    begun: usize,
    batches: usize,
    outcomes: Vec<Option<Outcome>>,
    fetches_max: usize,
    /// Fetches that may begin besides those under way.
    room: usize,
}

impl<'t> Schedule<'t> {
    /// Creates the schedule of `tasks`, of which `fetches_max` may be under way at once, and whose names may take `wait`.
    pub(super) fn new(tasks: &'t [Task], fetches_max: usize, wait: Duration) -> Self {
        let mut waiting: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut names_left = vec![0; tasks.len()];
        for (index, task) in tasks.iter().enumerate() {
            for host in task.hosts() {
                names_left[index] += 1;
                waiting.entry(host.to_owned()).or_default().push(index);
            }
        }
        let is_ready = |&index: &usize| names_left[index] == 0;
        Self {
            tasks,
            wait,
            ready: (0..tasks.len()).filter(is_ready).collect(),
            waiting,
            names_left,
            resolved: BTreeMap::new(),
            begun: 0,
            batches: 0,
            outcomes: vec![None; tasks.len()],
            fetches_max,
            room: fetches_max,
        }
    }

    /// Returns the names to resolve, each once.
    pub(super) fn names(&self) -> VecDeque<String> {
        self.waiting.keys().cloned().collect()
    }

    /// Returns whether all tasks have begun.
    pub(super) fn have_all_begun(&self) -> bool {
        self.begun == self.tasks.len()
    }

    /// Returns whether all tasks have ended.
    pub(super) fn is_done(&self) -> bool {
        self.have_all_begun() && self.batches == 0
    }

    /// Waits for a message. At `deadline`, gives up on the names that are not resolved.
    pub(super) fn wait(&mut self, messages: &Receiver<Message>, deadline: Instant) {
        let message = match self.waiting.is_empty() {
            true => messages.recv().map_err(RecvTimeoutError::from),
            false => messages.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        self.note(message.unwrap_or(Message::NamesEnd));
    }

    /// Notes what happened.
    pub(super) fn note(&mut self, message: Message) {
        match message {
            Message::Resolved(name, addresses) => {
                let tasks = self.waiting.remove(&name).unwrap_or_default();
                self.resolved.insert(name, addresses);
                self.wait_no_longer(tasks);
            }
            // Without their addresses, the tasks fail, or end as cancelled.
            Message::NamesEnd => {
                let waiting = std::mem::take(&mut self.waiting);
                self.wait_no_longer(waiting.into_values().flatten());
            }
            Message::Ended(batch, outcomes) => {
                self.batches -= 1;
                self.room += batch.share;
                for (&task, outcome) in batch.tasks.iter().zip(outcomes) {
                    self.outcomes[task] = Some(outcome);
                }
            }
        }
    }

    fn wait_no_longer(&mut self, tasks: impl IntoIterator<Item = usize>) {
        for task in tasks {
            self.names_left[task] -= 1;
            if self.names_left[task] == 0 {
                self.ready.insert(task);
            }
        }
    }

    /// Returns the tasks that begin now, if any can.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        if self.room == 0 || self.batches == BATCHES_MAX {
            return None;
        }
        let tasks: Vec<usize> = match self.fetches_max {
            1 => (self.begun..)
                .take_while(|task| self.ready.contains(task))
                .collect(),
            _ => self.ready.iter().copied().collect(),
        };
        if tasks.is_empty() {
            return None;
        }
        for task in &tasks {
            self.ready.remove(task);
        }
        self.begun += tasks.len();
        self.batches += 1;
        let share = self.share(tasks.len());
        self.room -= share;
        Some(Batch {
            requests: tasks.iter().map(|&task| self.request(task)).collect(),
            tasks,
            share,
        })
    }

    /// Returns how many of `length` tasks may be under way at once: all, or a part of the limit, so that tasks whose names
    /// take longer have a part too.
    fn share(&self, length: usize) -> usize {
        let all = self.tasks.len();
        match all <= self.fetches_max {
            true => length,
            false => (length.saturating_mul(self.fetches_max) / all).clamp(1, self.room),
        }
    }

    fn request(&self, task: usize) -> FetchRequest {
        let task = &self.tasks[task];
        let peer =
            |address: &Address| resolve::peer(address, self.resolved.get(&address.host), self.wait);
        FetchRequest {
            peer: peer(&task.address),
            name: task.name.clone(),
            via: task.via.as_ref().map(|via| Via {
                transform: via.transform.clone(),
                peer: peer(&via.address),
            }),
        }
    }

    /// Returns the outcomes in the order of the tasks, once all have ended.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().flatten().collect()
    }
}
