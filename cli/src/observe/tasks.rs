//! The tasks of a server as its events tell of them, and the last events that were trouble.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::event::{Event, Interest, Kind, Wait};
use poetry::{Observer, Role};

use super::waits;
use crate::failure::without_number;
use crate::words::counted;

/// Events that were trouble, as many as a view has room for.
const TROUBLES_MAX: usize = 5;

/// Follows the tasks of one server, and of a proxy's fetches. There are at most as many as it has connections.
pub(super) struct Tasks {
    model: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By role and number.
    tasks: BTreeMap<(u8, u64), Task>,
    troubles: VecDeque<String>,
}

struct Task {
    role: Role,
    /// The thread that ran it last.
    worker: u32,
    peer: Option<SocketAddr>,
    state: Does,
    since: Duration,
    requests: u64,
    read: u64,
    wrote: u64,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Runs,
    Waits(Wait),
}

impl Tasks {
    pub(super) fn new(model: &'static str) -> Self {
        Self {
            model,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of tasks.
    pub(super) fn open(&self) -> usize {
        self.state().tasks.len()
    }

    /// Returns a line for each thread and task, and for each trouble, at most `max`. With `now`, lines have ages.
    pub(super) fn lines(&self, now: Option<Duration>, max: usize) -> Vec<String> {
        let state = self.state();
        let mut tasks: Vec<(u64, &Task)> = Vec::new();
        tasks.extend(
            state
                .tasks
                .iter()
                .map(|(&(_, number), task)| (number, task)),
        );
        // The sort is stable: tasks of one thread stay in order.
        tasks.sort_by_key(|(_, task)| task.worker);
        let (mut lines, mut worker) = (Vec::new(), None);
        for (number, task) in tasks {
            if worker.replace(task.worker) != Some(task.worker) {
                lines.push(format!("thread {}", task.worker));
            }
            lines.push(format!("  {}", task.line(self.model, number, now)));
        }
        let room = max.saturating_sub(state.troubles.len());
        if lines.len() > room {
            let left_out = lines.len() - room.saturating_sub(1);
            lines.truncate(room.saturating_sub(1));
            lines.push(format!(
                "  and {}",
                counted(left_out as u64, "further line")
            ));
        }
        lines.extend(state.troubles.iter().cloned());
        lines
    }
}

impl Task {
    fn line(&self, model: &str, number: u64, now: Option<Duration>) -> String {
        let what = match self.role {
            Role::PoemClient | Role::TransformClient => "fetch",
            _ => "connection",
        };
        let peer = self
            .peer
            .map_or_else(String::new, |peer| format!(" of {peer}"));
        let does = match self.state {
            Does::Runs => "runs",
            Does::Waits(wait) => waits::words(model, wait),
        };
        let age = now.map_or_else(String::new, |now| {
            format!(" for {:.1} s", now.saturating_sub(self.since).as_secs_f64())
        });
        let requests = match self.requests {
            0 => String::new(),
            requests => format!(", {} answered", counted(requests, "request")),
        };
        format!(
            "{what} {number}{peer}: {does}{age}; read {} B, wrote {} B{requests}",
            self.read, self.wrote
        )
    }
}

impl Observer for Tasks {
    fn interest(&self) -> Interest {
        Interest::ALL | Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        let mut state = self.state();
        let key = (event.role as u8, event.scene.task);
        if let Some(trouble) = trouble(event) {
            state.troubles.truncate(TROUBLES_MAX - 1);
            state.troubles.push_front(trouble);
        }
        match event.kind {
            Kind::Closed(_) | Kind::Finished { .. } | Kind::Failed(_) => {
                state.tasks.remove(&key);
                return;
            }
            // They are of no connection.
            Kind::AcceptFailed(_) | Kind::ShortOfThreads(_) => return,
            _ => {}
        }
        let task = state.tasks.entry(key).or_insert_with(|| Task {
            role: event.role,
            worker: event.scene.worker,
            peer: None,
            state: Does::Runs,
            since: event.at,
            requests: 0,
            read: 0,
            wrote: 0,
        });
        task.note(event);
    }
}

impl Task {
    fn note(&mut self, event: &Event) {
        self.worker = event.scene.worker;
        self.peer = event.scene.peer.or(self.peer);
        let does = match event.kind {
            Kind::Running => Does::Runs,
            Kind::Waiting(wait) => Does::Waits(wait),
            Kind::Read { bytes } => {
                self.read += bytes;
                return;
            }
            Kind::Wrote { bytes } => {
                self.wrote += bytes;
                return;
            }
            Kind::Answered { requests } => {
                self.requests += requests;
                return;
            }
            _ => return,
        };
        self.state = does;
        self.since = event.at;
    }
}

/// Returns a line about an event that is trouble.
fn trouble(event: &Event) -> Option<String> {
    let number = event.scene.task;
    let words = match &event.kind {
        Kind::Panicked(message) => format!("connection {number} crashed: {message}"),
        Kind::Refused(refusal) => format!("connection {number} was refused: {refusal}"),
        Kind::Failed(failure) => format!("fetch {number} failed: {failure}"),
        Kind::AcceptFailed(cause) => format!("cannot accept: {cause}"),
        Kind::ShortOfThreads(words) => words.clone(),
        _ => return None,
    };
    let words = without_number(&words);
    Some(format!(
        "! {:.1} s: {}",
        event.at.as_secs_f64(),
        words.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use poetry::event::{Clock, Reporter, Scene};
    use poetry::{CloseReason, Refusal};
    use std::sync::Arc;

    use super::*;

    fn reported(kinds: impl IntoIterator<Item = (u64, Kind)>) -> Arc<Tasks> {
        let tasks = Arc::new(Tasks::new("blocking"));
        let reporter = Reporter::new(
            "blocking",
            Role::TransformServer,
            Clock::stopped(),
            tasks.clone(),
        );
        for (task, kind) in kinds {
            let scene = Scene {
                task,
                worker: task as u32,
                ..Scene::default()
            };
            reporter.report(scene, kind);
        }
        tasks
    }

    #[test]
    fn a_task_is_shown_with_what_it_waits_for_until_it_closes() {
        let tasks = reported([
            (3, Kind::Accepted),
            (3, Kind::Read { bytes: 24 }),
            (3, Kind::Answered { requests: 1 }),
            (3, Kind::Waiting(Wait::Read)),
            (4, Kind::Accepted),
            (4, Kind::Closed(CloseReason::Done)),
        ]);
        assert_eq!(tasks.open(), 1);
        let expected = [
            "thread 3",
            "  connection 3: blocks in recv; read 24 B, wrote 0 B, 1 request answered",
        ];
        assert_eq!(tasks.lines(None, 10), expected);
        let with_age = &tasks.lines(Some(Duration::from_millis(1_500)), 10)[1];
        assert!(with_age.contains("blocks in recv for 1.5 s;"), "{with_age}");
    }

    #[test]
    fn the_last_troubles_stay_and_lines_are_bounded() {
        let refused = || Kind::Refused(Refusal::NoDot);
        let tasks = reported((0..20).map(|task| (task, refused())));
        let lines = tasks.lines(None, 10);
        assert_eq!(lines.len(), 10);
        assert!(lines[4].starts_with("  and "), "{lines:?}");
        assert!(lines[5].contains("connection 19 was refused"), "{lines:?}");
        assert_eq!(
            lines.iter().filter(|line| line.starts_with('!')).count(),
            TROUBLES_MAX
        );
    }
}
