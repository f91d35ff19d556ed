//! The supervision tree as text, while it runs (O6). Every supervisor is asked for its own children by a message; one
//! that does not answer in time is shown as such, and does not hold up the rest.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::process::{CallError, Name, Node, Pid, ProcessRef, Reply};

/// How long a supervisor may take to say what children it has: it is a person who waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a supervisor says when it is asked which children it has.
#[derive(Debug)]
pub struct Children {
    /// What it is.
    pub about: String,
    /// Its children, or some of them.
    pub children: Vec<ChildInfo>,
    /// How many it has besides.
    pub more: usize,
}

/// One child.
#[derive(Debug)]
pub struct ChildInfo {
    /// What it is called.
    pub name: Name,
    /// Its process, if it runs.
    pub process: Option<ProcessRef>,
    /// What there is to say of it.
    pub notes: String,
    /// How to ask it for its own children.
    pub which_children: Option<WhichChildren>,
}

/// How to ask a supervisor for its children.
#[derive(Clone)]
pub struct WhichChildren(Arc<Ask>);

type Ask = dyn Fn(&Node) -> Result<Children, CallError> + Send + Sync;

impl WhichChildren {
    /// Asks `pid` by the message that `ask` makes.
    pub fn new<M: Send + 'static>(pid: Pid<M>, ask: fn(Reply<Children>) -> M) -> Self {
        Self(Arc::new(move |node| node.call(&pid, PATIENCE, ask)))
    }
}

impl std::fmt::Debug for WhichChildren {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("WhichChildren")
    }
}

/// Draws the tree under `root`. Blocks; not to be called by a process.
pub fn draw(node: &Node, root: ChildInfo) -> String {
    let mut drawing = String::new();
    child(node, &root, ["", ""], &mut drawing);
    drawing
}

/// Draws one child: `first` stands before its own line, `rest` before those of its children.
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
    // Writing to a string does not fail.
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
