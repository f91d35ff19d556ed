//! The tasks of a server as its events tell of them, and the last events that were trouble.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::event::{Event, Interest, Kind};
use poetry::{Observer, Role};
use timeline::sheet::State;

use super::waits;
use crate::failure::without_number;
use crate::words::counted;

/// Events that were trouble, as many as a view has room for.
const TROUBLES_MAX: usize = 5;

/// Follows the connections and fetches of one server, as many as are open.
pub(super) struct Tasks {
    model: &'static str,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By role and number.
    tasks: BTreeMap<(Role, u64), Task>,
    troubles: VecDeque<String>,
}

struct Task {
    /// The thread that ran it last.
    worker: u32,
    peer: Option<SocketAddr>,
    state: State,
    since: Duration,
    requests: u64,
    read: u64,
    wrote: u64,
}

impl Tasks {
    pub(super) fn new(model: &'static str) -> Self {
        Self {
            model,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of tasks.
    pub(super) fn open(&self) -> usize {
        self.known().tasks.len()
    }

    /// Returns a line for each thread and task, and for each trouble, at most `max`. With `now`, lines have ages. What does not fit
    /// `columns` is left out, the least important first.
    pub(super) fn lines(&self, now: Option<Duration>, max: usize, columns: usize) -> Vec<String> {
        let known = self.known();
        let mut tasks: Vec<_> = known.tasks.iter().collect();
        // The sort is stable: tasks of one thread stay in order.
        tasks.sort_by_key(|(_, task)| task.worker);
        let room = max.saturating_sub(known.troubles.len());
        let mut lines = Vec::new();
        // Lines beyond the room are only counted: events wait meanwhile.
        let (mut further, mut worker) = (BTreeMap::<&str, u64>::new(), None);
        let mut tasks = tasks.into_iter().peekable();
        while let Some((&(role, number), task)) = tasks.next() {
            let is_first = worker.replace(task.worker) != Some(task.worker);
            // The last line is for the rest, if there is any.
            let needed = 1 + usize::from(is_first) + usize::from(tasks.peek().is_some());
            if !further.is_empty() || lines.len() + needed > room {
                *further.entry(task.does(self.model)).or_default() += 1;
                continue;
            }
            if is_first {
                lines.push(format!("thread {}", task.worker));
            }
            lines.push(task.line(self.model, role, number, now, columns));
        }
        if !further.is_empty() {
            lines.push(rest(&further));
        }
        lines.extend(known.troubles.iter().cloned());
        lines
    }
}

/// Returns a line about tasks without one of their own: how many do what, the most frequent first.
fn rest(further: &BTreeMap<&str, u64>) -> String {
    let mut groups: Vec<(&str, u64)> = further
        .iter()
        .map(|(&does, &tasks)| (does, tasks))
        .collect();
    groups.sort_by_key(|&(_, tasks)| Reverse(tasks));
    let groups = groups
        .iter()
        .map(|(does, tasks)| format!("{tasks} × {does}"));
    let tasks = counted(further.values().sum(), "further task");
    format!("  and {tasks}: {}", groups.collect::<Vec<_>>().join(", "))
}

impl Task {
    fn does(&self, model: &str) -> &'static str {
        match self.state {
            State::Works => "runs",
            State::Waits(wait) => waits::words(model, wait),
        }
    }

    fn line(
        &self,
        model: &str,
        role: Role,
        number: u64,
        now: Option<Duration>,
        columns: usize,
    ) -> String {
        let what = match role {
            Role::PoemClient | Role::TransformClient => "fetch",
            _ => "connection",
        };
        let peer = self
            .peer
            .map_or_else(String::new, |peer| format!(" of {peer}"));
        let does = self.does(model);
        let age = now.map_or_else(String::new, |now| {
            format!(" for {:.1} s", now.saturating_sub(self.since).as_secs_f64())
        });
        let requests = match self.requests {
            0 => String::new(),
            requests => format!(", {} answered", counted(requests, "request")),
        };
        let counts = format!("; read {} B, wrote {} B{requests}", self.read, self.wrote);
        let lines = [
            format!("  {what} {number}{peer}: {does}{age}{counts}"),
            format!("  {what} {number}: {does}{age}{counts}"),
            format!("  {what} {number}: {does}{age}"),
        ];
        let fits = |line: &&String| line.chars().count() <= columns;
        lines.iter().find(fits).unwrap_or(&lines[2]).clone()
    }
}

impl Observer for Tasks {
    fn interest(&self) -> Interest {
        Interest::ALL | Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        let mut known = self.known();
        let key = (event.role, event.scene.task);
        if let Some(trouble) = trouble(event) {
            known.troubles.truncate(TROUBLES_MAX - 1);
            known.troubles.push_front(trouble);
        }
        match event.kind {
            Kind::Closed(_) | Kind::Finished { .. } | Kind::Failed(_) => {
                known.tasks.remove(&key);
                return;
            }
            // They are of no connection.
            Kind::AcceptFailed(_) | Kind::ShortOfThreads(_) => return,
            Kind::Panicked(_) if event.scene.peer.is_none() => return,
            _ => {}
        }
        let task = known.tasks.entry(key).or_insert_with(|| Task {
            worker: event.scene.worker,
            peer: None,
            state: State::Works,
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
        let state = match event.kind {
            Kind::Running => State::Works,
            Kind::Waiting(wait) => State::Waits(wait),
            Kind::Read { bytes } => return self.read += bytes,
            Kind::Wrote { bytes } => return self.wrote += bytes,
            Kind::Answered { requests } => return self.requests += requests,
            _ => return,
        };
        (self.state, self.since) = (state, event.at);
    }
}

/// Returns a line about an event that is trouble.
fn trouble(event: &Event) -> Option<String> {
    let number = event.scene.task;
    let words = match &event.kind {
        // One without a peer happened in another part of the server.
        Kind::Panicked(message) => match event.scene.peer {
            Some(_) => format!("connection {number} crashed: {message}"),
            None => format!("a part of the server crashed: {message}"),
        },
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
    use poetry::event::{Clock, Reporter, Scene, Wait};
    use poetry::{CloseReason, Refusal};
    use std::sync::Arc;

    use super::*;

    fn reported(kinds: impl IntoIterator<Item = (u64, Kind)>) -> Arc<Tasks> {
        tasks_of(None, kinds)
    }

    fn tasks_of(
        peer: Option<SocketAddr>,
        kinds: impl IntoIterator<Item = (u64, Kind)>,
    ) -> Arc<Tasks> {
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
                peer,
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
        assert_eq!(tasks.lines(None, 10, 80), expected);
        let with_age = &tasks.lines(Some(Duration::from_millis(1_500)), 10, 100)[1];
        assert!(with_age.contains("blocks in recv for 1.5 s;"), "{with_age}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_wait_last() {
        let peer = Some(([127, 0, 0, 1], 40_001).into());
        let tasks = tasks_of(peer, [(3, Kind::Accepted), (3, Kind::Waiting(Wait::Read))]);
        let line = |columns| tasks.lines(None, 10, columns)[1].clone();
        let whole = "  connection 3 of 127.0.0.1:40001: blocks in recv; read 0 B, wrote 0 B";
        assert_eq!(line(whole.len()), whole);
        let fits = "  connection 3: blocks in recv; read 0 B, wrote 0 B";
        assert_eq!(line(whole.len() - 1), fits);
        assert_eq!(line(fits.len() - 1), "  connection 3: blocks in recv");
        assert_eq!(line(1), "  connection 3: blocks in recv");
    }

    #[test]
    fn a_crash_without_a_peer_is_one_of_the_server() {
        let peer = Some(([127, 0, 0, 1], 40_001).into());
        let crash = || [(0, Kind::Panicked("acceptor: oh".to_owned()))];
        let line = |peer| tasks_of(peer, crash()).lines(None, 10, 80).pop();
        let expected = "! 0.0 s: connection 0 crashed: acceptor: oh";
        assert_eq!(line(peer).as_deref(), Some(expected));
        let expected = "! 0.0 s: a part of the server crashed: acceptor: oh";
        assert_eq!(line(None).as_deref(), Some(expected));
    }

    #[test]
    fn the_last_troubles_stay_and_lines_are_bounded() {
        let refused = || Kind::Refused(Refusal::NoDot);
        let tasks = reported((0..20).map(|task| (task, refused())));
        let lines = tasks.lines(None, 10, 80);
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[3], "  connection 1: runs; read 0 B, wrote 0 B");
        assert_eq!(lines[4], "  and 18 further tasks: 18 × runs", "{lines:?}");
        assert!(lines[5].contains("connection 19 was refused"), "{lines:?}");
        assert_eq!(
            lines.iter().filter(|line| line.starts_with('!')).count(),
            TROUBLES_MAX
        );
    }

    #[test]
    fn tasks_without_a_line_are_counted_by_what_they_do() {
        let waits = |task| match task {
            ..2 => (task, Kind::Running),
            2..5 => (task, Kind::Waiting(Wait::Write)),
            _ => (task, Kind::Waiting(Wait::Read)),
        };
        let tasks = reported((0..1_000).map(waits));
        let rest = |room| tasks.lines(None, room, 80).pop();
        let all = "  and 1000 further tasks: 995 × blocks in recv, 3 × blocks in send, 2 × runs";
        for room in 0..=2 {
            assert_eq!(rest(room).as_deref(), Some(all));
        }
        assert_eq!(tasks.lines(None, 3, 80).len(), 3);
        let but_two = "  and 998 further tasks: 995 × blocks in recv, 3 × blocks in send";
        assert_eq!(rest(5).as_deref(), Some(but_two));
        let last = "  connection 999: blocks in recv; read 0 B, wrote 0 B";
        assert_eq!(rest(2_000).as_deref(), Some(last));
        assert_eq!(
            rest(1_999).as_deref(),
            Some("  and 1 further task: 1 × blocks in recv")
        );
    }
}
