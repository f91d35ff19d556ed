//! Programs, threads and tasks from the events of one record.

use std::collections::HashMap;
use std::time::Duration;

use poetry::event::{Event, Kind, Role};

use super::{Mark, Program, Span, State, Task, Thread};
use crate::record::Record;

/// Finds where an event belongs without searching.
#[derive(Default)]
pub(super) struct Builder {
    programs: Vec<Program>,
    /// Where a task of a program is on a worker: the thread and the task within it.
    threads: HashMap<(usize, u32), usize>,
    tasks: HashMap<(usize, u32, u64), usize>,
    /// A transform's spans are told from those of its fetch, since it can be another task that runs for the first.
    open: HashMap<(usize, Role, u64), Open>,
}

/// The span of a task that has not ended yet: since when, and on which worker.
struct Open {
    from: Duration,
    state: State,
    worker: u32,
}

impl Builder {
    /// Returns the programs of `record`; times are since `origin`.
    pub(super) fn read(record: &Record, origin: Duration) -> Vec<Program> {
        let mut builder = Self::default();
        // Threads record in one queue, so that events of two threads can be out of order by a little.
        let mut events: Vec<&Event> = record.events.iter().collect();
        events.sort_by_key(|event| event.at);
        for event in events {
            let at = (record.header.origin + event.at).saturating_sub(origin);
            builder.add(event, at);
        }
        builder.finish()
    }

    /// Orders threads by number and spans by time; a transform's began while its fetch waited.
    fn finish(mut self) -> Vec<Program> {
        for program in &mut self.programs {
            program.threads.sort_by_key(|thread| thread.worker);
            let tasks = program
                .threads
                .iter_mut()
                .flat_map(|thread| &mut thread.tasks);
            tasks.for_each(|task| task.spans.sort_by_key(|span| span.from));
        }
        self.programs
    }

    fn add(&mut self, event: &Event, at: Duration) {
        let (role, number) = owner(event);
        let program = self.program(event, role);
        let task = self.task(program, event.scene.worker, number);
        if !matches!(event.kind, Kind::Running | Kind::Waiting(_)) {
            task.marks.push(Mark {
                at,
                role: event.role,
                kind: event.kind.clone(),
            });
        }
        self.turn(program, number, event, at);
    }

    fn program(&mut self, event: &Event, role: Role) -> usize {
        let known = |program: &Program| program.model == event.model && program.role == role;
        self.programs.iter().position(known).unwrap_or_else(|| {
            self.programs.push(Program {
                model: event.model.to_string(),
                role,
                threads: Vec::new(),
            });
            self.programs.len() - 1
        })
    }

    fn task(&mut self, program: usize, worker: u32, number: u64) -> &mut Task {
        let threads = &mut self.programs[program].threads;
        let thread = *self.threads.entry((program, worker)).or_insert_with(|| {
            threads.push(Thread {
                worker,
                tasks: Vec::new(),
            });
            threads.len() - 1
        });
        let tasks = &mut threads[thread].tasks;
        let task = *self
            .tasks
            .entry((program, worker, number))
            .or_insert_with(|| {
                tasks.push(Task {
                    number,
                    spans: Vec::new(),
                    marks: Vec::new(),
                });
                tasks.len() - 1
            });
        &mut tasks[task]
    }

    /// Ends the span that is open, if `event` ends it, and begins the next.
    fn turn(&mut self, program: usize, number: u64, event: &Event, at: Duration) {
        let next = match &event.kind {
            Kind::Running => Some(State::Works),
            Kind::Waiting(wait) => Some(State::Waits(*wait)),
            Kind::Finished { .. } | Kind::Failed(_) | Kind::Closed(_) => None,
            _ => return,
        };
        if let Some(open) = self.open.remove(&(program, event.role, number)) {
            let span = Span {
                from: open.from,
                to: at,
                state: open.state,
            };
            // Work takes no time on a test's clock, and is seen all the same.
            if span.is_work() || !span.length().is_zero() {
                self.task(program, open.worker, number).spans.push(span);
            }
        }
        if let Some(state) = next {
            let worker = event.scene.worker;
            let open = Open {
                from: at,
                state,
                worker,
            };
            self.open.insert((program, event.role, number), open);
        }
    }
}

/// Returns the program and the task that an event is shown in: a transform belongs to its fetch.
fn owner(event: &Event) -> (Role, u64) {
    match (event.role, event.scene.parent) {
        (Role::TransformClient, Some(fetch)) => (Role::PoemClient, fetch),
        (role, _) => (role, event.scene.task),
    }
}
