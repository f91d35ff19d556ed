//! `serve --observe`: what every connection does and waits for, and the model's own description of itself, while the server runs. On a
//! terminal the view changes in place; elsewhere each change is a paragraph. With `--lab`, lines on stdin crash parts of the server.

mod inbox;
mod screen;
mod tasks;
mod waits;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use poetry::{Clock, Observer, Server};
use timeline::Tee;
use tracing::error;

use crate::failure::cause_at_start;
use crate::line_writer::LineWriter;
use crate::terminal;
use crate::words::counted;

use inbox::{Inbox, Woken};
use screen::Screen;
use tasks::Tasks;

/// How often a terminal shows the view: often enough to follow by eye.
const REFRESH: Duration = Duration::from_millis(250);
/// How often a changed view is written elsewhere.
const PARAGRAPH: Duration = Duration::from_secs(1);
/// Lines of a view that is not on a terminal.
const LINES: usize = 40;

/// A view of one server; nothing without the option.
pub(crate) struct Observation(Option<View>);

struct View {
    tasks: Arc<Tasks>,
    model: &'static str,
    clock: Clock,
    stderr: LineWriter,
    lab: bool,
    inbox: Arc<Inbox>,
}

impl Observation {
    /// Prepares the view of a server of `model`, if it is wanted.
    pub(crate) fn prepare(
        wanted: bool,
        lab: bool,
        model: &'static str,
        clock: &Clock,
        stderr: &LineWriter,
    ) -> Self {
        Self(wanted.then(|| View {
            tasks: Arc::new(Tasks::new(model)),
            model,
            clock: clock.clone(),
            stderr: stderr.clone(),
            lab,
            inbox: Arc::default(),
        }))
    }

    /// Returns an observer that follows the connections besides what `observer` does.
    pub(crate) fn beside(&self, observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
        match &self.0 {
            Some(view) => Arc::new(Tee::new([
                view.tasks.clone() as Arc<dyn Observer>,
                observer,
            ])),
            None => observer,
        }
    }

    /// Shows `server` while `work` runs; without a thread for that, `work` runs unseen.
    pub(crate) fn while_running<T>(&self, server: &dyn Server, work: impl FnOnce() -> T) -> T {
        let Some(view) = &self.0 else {
            return work();
        };
        thread::scope(|scope| {
            let named = thread::Builder::new().name("observe".to_owned());
            if let Err(error) = named.spawn_scoped(scope, || view.show(server)) {
                let cause = cause_at_start(&error);
                error!("cannot show what connections wait for: {cause}");
            }
            let _end = EndOfView(view);
            work()
        })
    }
}

/// Ends the view when it is dropped, also by a panic: the scope waits for its thread.
struct EndOfView<'v>(&'v View);

impl Drop for EndOfView<'_> {
    fn drop(&mut self) {
        self.0.inbox.end();
    }
}

impl View {
    fn show(&self, server: &dyn Server) {
        if self.lab
            && let Err(error) = Arc::clone(&self.inbox).read_stdin()
        {
            let cause = cause_at_start(&error);
            error!("cannot read what to crash from stdin: {cause}");
        }
        match terminal::stderr_is_animated() {
            true => self.show_in_place(server),
            false => self.show_changes(server),
        }
    }

    fn show_in_place(&self, server: &dyn Server) {
        let screen = Screen::open(&self.stderr, self.lab);
        let mut said = String::new();
        loop {
            match self.inbox.wait(REFRESH) {
                Woken::Ended => return,
                Woken::Line(line) => {
                    said = obey(&line, server);
                    screen.clear_input();
                }
                Woken::Time => {}
            }
            let below = match self.lab {
                true => vec![said.clone(), hint(server)],
                false => Vec::new(),
            };
            let details = server.live_details().unwrap_or_default();
            let (lines, columns) = screen.room(below.len());
            let text = self.text(server, &details, Some(self.clock.now()), lines, columns);
            screen.show(&text, &below);
        }
    }

    fn show_changes(&self, server: &dyn Server) {
        let mut last = Vec::new();
        loop {
            match self.inbox.wait(PARAGRAPH) {
                Woken::Ended => return,
                Woken::Line(line) => self.stderr.line(obey(&line, server)),
                Woken::Time => {}
            }
            let details = server.details().unwrap_or_default();
            // Ages would make every view another one.
            let text = self.text(server, &details, None, LINES, usize::MAX);
            if text != last {
                self.stderr.line(text.join("\n") + "\n");
            }
            last = text;
        }
    }

    /// Returns the view: at most `lines` lines, each of at most `columns` characters.
    fn text(
        &self,
        server: &dyn Server,
        details: &str,
        now: Option<Duration>,
        lines: usize,
        columns: usize,
    ) -> Vec<String> {
        let mut text = vec![title(self.model, server.address(), self.tasks.open())];
        let room = lines.saturating_sub(text.len());
        let details = without_middle(details, room * 2 / 3);
        let left = room.saturating_sub(details.len());
        text.extend(self.tasks.lines(now, left, columns));
        text.extend(details);
        let cut = |line: String| line.chars().take(columns).collect::<String>();
        text.into_iter().map(cut).collect()
    }
}

fn title(model: &str, address: SocketAddr, open: usize) -> String {
    format!("{model} on {address}: {}", counted(open as u64, "task"))
}

/// Returns at most `max` lines of a description, with their number in place of those in the middle: a supervision tree ends with the
/// acceptor, and what is between are mostly connections.
fn without_middle(details: &str, max: usize) -> Vec<String> {
    let mut lines: Vec<String> = details.lines().map(str::to_owned).collect();
    if lines.len() > max {
        let (head, tail) = (max / 2, max.saturating_sub(max / 2 + 1));
        let further = lines.len() - head - tail;
        let more = format!("  ⋮ {}", counted(further as u64, "further line"));
        lines.splice(head..head + further, [more]);
        lines.truncate(max);
    }
    lines
}

/// Does what a line on stdin asks for, and returns what to say about it.
fn obey(line: &str, server: &dyn Server) -> String {
    let part = match line.split_once(char::is_whitespace) {
        Some(("crash", part)) => part.trim(),
        _ if line.is_empty() => return String::new(),
        _ => line,
    };
    match server.crash(part) {
        true => format!("crashed {part}"),
        false => format!("cannot crash {}: {}", part.escape_debug(), hint(server)),
    }
}

/// Says what can be crashed.
fn hint(server: &dyn Server) -> String {
    let parts = server.parts();
    match parts.is_empty() {
        true => "no part of this server is started again after a crash".to_owned(),
        false => format!("type crash and one of {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_description_keeps_its_beginning_and_its_end() {
        let details = "a\nb\nc\nd\ne\n";
        assert_eq!(without_middle(details, 5), ["a", "b", "c", "d", "e"]);
        assert_eq!(
            without_middle(details, 4),
            ["a", "b", "  ⋮ 2 further lines", "e"]
        );
        assert_eq!(
            without_middle(details, 3),
            ["a", "  ⋮ 3 further lines", "e"]
        );
        assert_eq!(without_middle(details, 1), ["  ⋮ 5 further lines"]);
        assert_eq!(without_middle(details, 0), [""; 0]);
        assert_eq!(without_middle("", 0), [""; 0]);
    }
}
