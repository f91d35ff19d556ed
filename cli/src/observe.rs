//! `serve --observe`: what every connection does and waits for, and the model's own description of itself, while the server runs. On a
//! terminal the view changes in place; elsewhere each change is a paragraph.

mod tasks;
mod waits;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use poetry::{Clock, Observer, Server};
use timeline::Tee;
use tracing::error;

use crate::failure::cause_at_start;
use crate::line_writer::LineWriter;
use crate::terminal;
use crate::words::counted;

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
    ended: Mutex<bool>,
    ends: Condvar,
}

impl Observation {
    /// Prepares the view of a server of `model`, if it is wanted.
    pub(crate) fn prepare(
        wanted: bool,
        model: &'static str,
        clock: &Clock,
        stderr: &LineWriter,
    ) -> Self {
        Self(wanted.then(|| View {
            tasks: Arc::new(Tasks::new(model)),
            model,
            clock: clock.clone(),
            stderr: stderr.clone(),
            ended: Mutex::new(false),
            ends: Condvar::new(),
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
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.ends.notify_all();
    }
}

impl View {
    fn show(&self, server: &dyn Server) {
        let on_terminal = terminal::stderr_is_animated();
        if on_terminal {
            self.stderr.push(ALTERNATE.as_bytes());
        }
        let (mut last, every) = (String::new(), if on_terminal { REFRESH } else { PARAGRAPH });
        while !self.wait(every) {
            let text = self.text(server, on_terminal);
            match on_terminal {
                true => self.stderr.push(format!("{HOME}{text}").as_bytes()),
                false if text != last => self.stderr.line(&text),
                false => {}
            }
            last = text;
        }
        if on_terminal {
            self.stderr.push(MAIN.as_bytes());
        }
    }

    /// Waits for the time of the next view. Returns whether the view has ended.
    fn wait(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ends.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn text(&self, server: &dyn Server, on_terminal: bool) -> String {
        let details = server.details().unwrap_or_default();
        let details: Vec<&str> = details.lines().collect();
        let (lines, columns) = match on_terminal {
            true => terminal::stderr_size(),
            false => (LINES, usize::MAX),
        };
        // The age of a wait is worth showing only where the view changes in place.
        let now = on_terminal.then(|| self.clock.now());
        let mut text = vec![title(self.model, server.address(), self.tasks.open())];
        let left = lines.saturating_sub(text.len() + details.len() + 1);
        text.extend(self.tasks.lines(now, left));
        text.extend(details.iter().map(|&line| line.to_owned()));
        text.truncate(lines.saturating_sub(1));
        let cut = |line: &String| line.chars().take(columns).collect::<String>();
        text.iter().map(cut).collect::<Vec<_>>().join("\n") + "\n"
    }
}

fn title(model: &str, address: SocketAddr, open: usize) -> String {
    format!("{model} on {address}: {}", counted(open as u64, "task"))
}

/// To the alternate screen, and back: what was on the terminal stays.
const ALTERNATE: &str = "\x1b[?1049h";
const MAIN: &str = "\x1b[?1049l";
/// To the first line, and nothing below it.
const HOME: &str = "\x1b[H\x1b[J";
