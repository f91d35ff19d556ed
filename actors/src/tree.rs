//! Draws the supervision tree while it runs (O6). A message asks each supervisor for its children. A supervisor that does
//! not reply in time is drawn with the error instead.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::process::{CallError, Name, Node, Pid, ProcessRef, Reply};

/// How long a supervisor may take to list its children, while a person waits.
const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// A supervisor's answer to `which_children`.
#[derive(Debug)]
pub struct Children {
    /// A description of the supervisor.
    pub about: String,
    /// Its children, possibly not all.
    pub children: Vec<ChildInfo>,
    /// The number of children left out.
    pub more: usize,
}

/// A child as it is drawn.
#[derive(Debug)]
pub struct ChildInfo {
    /// Its name.
    pub name: Name,
    /// Its process, if it runs.
    pub process: Option<ProcessRef>,
    /// Remarks, such as the number of restarts.
    pub notes: String,
    /// How to ask it for its own children, if it is a supervisor.
    pub which_children: Option<WhichChildren>,
}

/// How to ask a supervisor for its children.
#[derive(Clone)]
pub struct WhichChildren(Arc<Ask>);

type Ask = dyn Fn(&Node) -> Result<Children, CallError> + Send + Sync;

impl WhichChildren {
    /// Asks `pid` with the message that `ask` builds.
    pub fn new<M: Send + 'static>(pid: Pid<M>, ask: fn(Reply<Children>) -> M) -> Self {
        Self(Arc::new(move |node| node.call(&pid, LIST_TIMEOUT, ask)))
    }
}

impl std::fmt::Debug for WhichChildren {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("WhichChildren")
    }
}

/// Draws the tree under `root`. Blocks, so a process must not call it.
pub fn draw_tree(node: &Node, root: ChildInfo) -> String {
    let mut drawing = String::new();
    child(node, &root, ["", ""], &mut drawing);
    drawing
}

/// Draws one child: `first` is the prefix of its own line, `rest` that of its children's lines.
fn child(node: &Node, child: &ChildInfo, [first, rest]: [&str; 2], drawing: &mut String) {
    let asked = child.which_children.as_ref().map(|ask| ask.0(node));
    let about = match &asked {
        Some(Ok(supervised)) => supervised.about.clone(),
        Some(Err(error)) => format!("supervisor: {error}"),
        None => String::new(),
    };
    let mailbox = match &child.process {
        Some(process) => {
            let (queued, capacity) = process.mailbox();
            format!("mailbox {queued}/{capacity}")
        }
        None => "not running".to_owned(),
    };
    let parts = [about.as_str(), child.notes.as_str(), mailbox.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(drawing, "{first}{} ({})", child.name, parts.join(", "));
    if let Some(Ok(supervised)) = asked {
        children(node, &supervised, rest, drawing);
    }
}

fn children(node: &Node, supervised: &Children, before: &str, drawing: &mut String) {
    let lines = supervised.children.len() + usize::from(supervised.more > 0);
    for (line, info) in (1..).zip(&supervised.children) {
        let [first, rest] = if line < lines {
            ["├─ ", "│  "]
        } else {
            ["└─ ", "   "]
        };
        let prefixes = [format!("{before}{first}"), format!("{before}{rest}")];
        child(node, info, [&prefixes[0], &prefixes[1]], drawing);
    }
    if supervised.more > 0 {
        let _ = writeln!(drawing, "{before}└─ … and {} more", supervised.more);
    }
}
