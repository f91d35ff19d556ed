//! The supervision tree as text, while it runs (O6). Every supervisor is asked for its own children by a message; one
//! that does not answer in time is shown as such, and does not hold up the rest.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::process::{CallError, Name, Node, Pid, ProcessRef, Reply};

/// How long a supervisor may take to show itself: it is a person who waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a supervisor shows of itself.
#[derive(Debug)]
pub struct Shown {
    /// What it is.
    pub about: String,
    /// Its children, or some of them.
    pub twigs: Vec<Twig>,
    /// How many it has besides.
    pub more: usize,
}

/// One child.
#[derive(Debug)]
pub struct Twig {
    /// What it is called.
    pub name: Name,
    /// Its process, if it runs.
    pub process: Option<ProcessRef>,
    /// What there is to say of it.
    pub notes: String,
    /// How to ask it for its own children.
    pub branch: Option<Branch>,
}

/// How to ask a supervisor to show itself.
#[derive(Clone)]
pub struct Branch(Arc<Ask>);

type Ask = dyn Fn(&Node) -> Result<Shown, CallError> + Send + Sync;

impl Branch {
    /// Asks `pid` by the message that `ask` makes.
    pub fn new<M: Send + 'static>(pid: Pid<M>, ask: fn(Reply<Shown>) -> M) -> Self {
        Self(Arc::new(move |node| node.call(&pid, PATIENCE, ask)))
    }
}

impl std::fmt::Debug for Branch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Branch")
    }
}

/// Draws the tree under `root`. Blocks; not to be called by a process.
pub fn draw(node: &Node, root: Twig) -> String {
    let mut drawing = String::new();
    twig(node, &root, ["", ""], &mut drawing);
    drawing
}

/// Draws one child: `first` stands before its own line, `rest` before those of its children.
fn twig(node: &Node, twig: &Twig, [first, rest]: [&str; 2], drawing: &mut String) {
    let shown = twig.branch.as_ref().map(|branch| branch.0(node));
    let about = match &shown {
        Some(Ok(shown)) => shown.about.clone(),
        Some(Err(error)) => format!("supervisor: {error}"),
        None => String::new(),
    };
    let mailbox = twig
        .process
        .as_ref()
        .map_or("not running".to_owned(), |process| {
            let (queued, capacity) = process.mailbox();
            format!("mailbox {queued}/{capacity}")
        });
    let parts = [about.as_str(), twig.notes.as_str(), mailbox.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    // Writing to a string does not fail.
    let _ = writeln!(drawing, "{first}{} ({})", twig.name, parts.join(", "));
    if let Some(Ok(shown)) = shown {
        branches(node, &shown, rest, drawing);
    }
}

fn branches(node: &Node, shown: &Shown, before: &str, drawing: &mut String) {
    let lines = shown.twigs.len() + usize::from(shown.more > 0);
    for (line, child) in (1..).zip(&shown.twigs) {
        let [first, rest] = if line < lines {
            ["├─ ", "│  "]
        } else {
            ["└─ ", "   "]
        };
        let prefixes = [format!("{before}{first}"), format!("{before}{rest}")];
        twig(node, child, [&prefixes[0], &prefixes[1]], drawing);
    }
    if shown.more > 0 {
        let _ = writeln!(drawing, "{before}└─ … and {} more", shown.more);
    }
}
