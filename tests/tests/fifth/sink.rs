//! The fifth model's output as a command: a thread writes lines, so that a sink that does not keep up stalls nothing.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines on their way to a file.
#[derive(Clone)]
pub(crate) enum Sink {
    /// Written by a thread; lines that find the queue full are dropped.
    Queue(SyncSender<Line>),
    /// A flaw: written at once, by whoever has a line.
    Direct(Arc<dyn Fn(&str) + Send + Sync>),
}

/// A line, or the request to say when all lines before it are written.
pub(crate) enum Line {
    Text(String),
    Flush(SyncSender<()>),
}

impl Sink {
    /// Creates a sink whose thread writes to `file`.
    pub(crate) fn to(file: impl Write + Send + 'static) -> Self {
        const LINES_MAX: usize = 1_000;
        let (sender, receiver) = sync_channel(LINES_MAX);
        thread::spawn(move || write_all(&receiver, file));
        Self::Queue(sender)
    }

    /// Writes a line, or drops it.
    pub(crate) fn line(&self, text: &str) {
        match self {
            Self::Queue(queue) => drop(queue.try_send(Line::Text(text.to_owned() + "\n"))),
            Self::Direct(write) => write(text),
        }
    }

    /// Waits a moment until all lines are written.
    pub(crate) fn flush(&self) {
        const MOMENT: Duration = Duration::from_millis(200);
        if let Self::Queue(queue) = self {
            let (sender, flushed) = sync_channel(1);
            if queue.try_send(Line::Flush(sender)).is_ok() {
                let _ = flushed.recv_timeout(MOMENT);
            }
        }
    }
}

fn write_all(lines: &Receiver<Line>, mut file: impl Write) {
    for line in lines {
        match line {
            // A file that takes nothing swallows everything.
            Line::Text(text) => drop(file.write_all(text.as_bytes())),
            Line::Flush(done) => drop(done.try_send(())),
        }
    }
}
