//! A sheet: programs, their threads, and what each task did when.
//!
//! A span is work from a task's `running` to its next `waiting` or its end, on the worker that reported it; waiting is the rest of
//! its life. Records without these events (of a program that does not report them) have marks only.

mod build;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poetry::event::{Kind, Role, Wait};

use crate::record::Record;
use build::Builder;

/// Everything that is drawn, on one axis of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// The time of the first event, since 1970.
    pub origin: Duration,
    /// The time from the first event to the last.
    pub length: Duration,
    /// The programs: each role of each model in each record, in the order of their first events.
    pub programs: Vec<Program>,
    /// Events that the records say they lack.
    pub dropped: u64,
    /// Whether a record was cut, and does not say what it lacks.
    pub cut: bool,
}

/// One program of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The model.
    pub model: String,
    /// The program.
    pub role: Role,
    /// Its threads that ran a task.
    pub threads: Vec<Thread>,
}

/// One thread: a reactor, an arbiter, a worker, or a thread of `blocking`.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// Its number.
    pub worker: u32,
    /// The tasks that it ran, in the order of their first events.
    pub tasks: Vec<Task>,
}

/// One task, as far as one thread ran it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its number in the program.
    pub number: u64,
    /// What it did, in order. Only the spans of a transform can overlap those of its fetch.
    pub spans: Vec<Span>,
    /// Its events, in order.
    pub marks: Vec<Mark>,
}

/// A time in which a task did one thing. Times are since the sheet's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub from: Duration,
    /// When it ended.
    pub to: Duration,
    /// What the task did.
    pub state: State,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its thread runs it.
    Works,
    /// It waits.
    Waits(Wait),
}

/// Something that happened in a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, since the sheet's origin.
    pub at: Duration,
    /// Whose: a transform's events are among those of its fetch.
    pub role: Role,
    /// What.
    pub kind: Kind,
}

impl Span {
    /// Returns how long it is.
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// Returns whether its thread was occupied.
    pub fn is_work(&self) -> bool {
        self.state == State::Works
    }
}

impl Thread {
    /// Returns how long it ran tasks. Tasks that ran within others, as a transform's within its fetch's, count once.
    pub fn busy(&self) -> Duration {
        let spans = self.tasks.iter().flat_map(|task| &task.spans);
        let mut work: Vec<&Span> = spans.filter(|span| span.is_work()).collect();
        work.sort_by_key(|span| span.from);
        let (mut busy, mut until) = (Duration::ZERO, Duration::ZERO);
        for span in work {
            busy += span.to.saturating_sub(span.from.max(until));
            until = until.max(span.to);
        }
        busy
    }

    /// Returns the longest time for which it ran one task without looking at the others.
    pub fn longest_turn(&self) -> Option<(&Task, Span)> {
        let turns = self.tasks.iter().flat_map(|task| {
            let work = task.spans.iter().filter(|span| span.is_work());
            work.map(move |span| (task, *span))
        });
        turns.max_by_key(|(_, span)| span.length())
    }
}

impl Program {
    /// Returns the number of its tasks.
    pub fn tasks(&self) -> usize {
        let tasks = self.threads.iter().flat_map(|thread| &thread.tasks);
        let numbers: BTreeSet<u64> = tasks.map(|task| task.number).collect();
        numbers.len()
    }

    /// Returns the longest turn of its threads, with the thread and the task.
    pub fn longest_turn(&self) -> Option<(&Thread, &Task, Span)> {
        let turns = self.threads.iter().filter_map(|thread| {
            let (task, turn) = thread.longest_turn()?;
            Some((thread, task, turn))
        });
        turns.max_by_key(|(.., turn)| turn.length())
    }

    /// Returns how long its threads ran tasks, together.
    pub fn busy(&self) -> Duration {
        self.threads.iter().map(Thread::busy).sum()
    }

    /// Returns the most tasks that were under way at one time.
    pub fn most_at_once(&self) -> usize {
        let mut lives: BTreeMap<u64, (Duration, Duration)> = BTreeMap::new();
        for task in self.threads.iter().flat_map(|thread| &thread.tasks) {
            let (Some(from), Some(to)) = (task.from(), task.to()) else {
                continue;
            };
            let life = lives.entry(task.number).or_insert((from, to));
            *life = (life.0.min(from), life.1.max(to));
        }
        let changes = lives.values().flat_map(|life| [(life.0, 1), (life.1, -1)]);
        let mut changes: Vec<(Duration, i64)> = changes.collect();
        // Of changes at one time the ends come first.
        changes.sort_unstable();
        let (mut now, mut most) = (0, 0);
        for (_, change) in changes {
            now += change;
            most = most.max(now);
        }
        most.try_into().unwrap_or(0)
    }
}

impl Task {
    fn from(&self) -> Option<Duration> {
        let (span, mark) = (self.spans.first(), self.marks.first());
        let times = [span.map(|span| span.from), mark.map(|mark| mark.at)];
        times.into_iter().flatten().min()
    }

    fn to(&self) -> Option<Duration> {
        let (span, mark) = (self.spans.last(), self.marks.last());
        let times = [span.map(|span| span.to), mark.map(|mark| mark.at)];
        times.into_iter().flatten().max()
    }
}

impl Sheet {
    /// Puts records on one axis. Records of one machine agree on the time; those of several do as far as their clocks do.
    pub fn of(records: &[Record]) -> Self {
        let times = records.iter().flat_map(|record| {
            let origin = record.header.origin;
            record.events.iter().map(move |event| origin + event.at)
        });
        let (first, last) = times.fold((Duration::MAX, Duration::ZERO), |(first, last), at| {
            (first.min(at), last.max(at))
        });
        let origin = if first == Duration::MAX { last } else { first };
        let mut programs = Vec::new();
        for record in records {
            programs.extend(Builder::read(record, origin));
        }
        Self {
            origin,
            length: last - origin,
            programs,
            dropped: records.iter().filter_map(|record| record.dropped).sum(),
            cut: records.iter().any(|record| record.dropped.is_none()),
        }
    }
}

#[cfg(test)]
mod tests;
