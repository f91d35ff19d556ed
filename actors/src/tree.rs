//! Draws the supervision tree while it runs (O6). A message asks each supervisor for its children. A supervisor that does
//! not reply in time is drawn with the error instead.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::process::{
    Answer, CallError, Name, Node, Pid, ProcessInfo, ProcessRef, Reply, WaitsFor,
};

/// How long a supervisor may take to list its children, while a person waits.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the processes of one level may take to say what they wait for. Only a handler that computes takes so long; the
/// view must not wait for it at every refresh.
const INFO_TIMEOUT: Duration = Duration::from_millis(100);

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
    /// Its last restart, if there was one.
    pub restarted: Option<Restarted>,
    /// How to ask it for its own children, if it is a supervisor.
    pub which_children: Option<WhichChildren>,
}

/// The last restart of a child.
#[derive(Debug)]
pub struct Restarted {
    /// The time since then.
    pub ago: Duration,
    /// What follows "restarted": `: crash: ` and a message, or ` with ` and the sibling whose end its supervisor's strategy
    /// extends to it.
    pub cause: String,
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
    Drawing::of(node, &root, false)
}

/// As [`draw_tree`], also with the time since the last restart of each child, for a view that is drawn again and again.
pub(crate) fn draw_living_tree(node: &Node, root: ChildInfo) -> String {
    Drawing::of(node, &root, true)
}

struct Drawing<'n> {
    node: &'n Node,
    with_ages: bool,
    text: String,
}

impl<'n> Drawing<'n> {
    fn of(node: &'n Node, root: &ChildInfo, with_ages: bool) -> String {
        let text = String::new();
        let mut drawing = Self {
            node,
            with_ages,
            text,
        };
        let info = drawing.ask(root);
        drawing.child(root, info, ["", ""]);
        drawing.text
    }

    /// Draws one child: `first` is the prefix of its own line, `rest` that of the lines below.
    fn child(
        &mut self,
        child: &ChildInfo,
        info: Option<Answer<ProcessInfo>>,
        [first, rest]: [&str; 2],
    ) {
        let asked = child.which_children.as_ref().map(|ask| ask.0(self.node));
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
        // A supervisor may have waited before it listed its children.
        let info = match &asked {
            Some(_) => self.ask(child),
            None => info,
        };
        let waits = info.map_or_else(String::new, |info| self.waits(info.wait()));
        let notes = child.notes.as_str();
        let parts = [about.as_str(), notes, mailbox.as_str(), waits.as_str()];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let ended = child.process.as_ref().and_then(ProcessRef::exit_reason);
        let about = match ended {
            Some(reason) => format!("ended: {reason}"),
            None => parts.collect::<Vec<_>>().join(", "),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{first}{} ({about})", child.name);
        if let Some(Restarted { ago, cause }) = &child.restarted {
            let ago = match self.with_ages {
                true => format!(" {:.1} s ago", ago.as_secs_f64()),
                false => String::new(),
            };
            // A panic's message may have several lines.
            let cause = cause.escape_debug();
            let _ = writeln!(self.text, "{rest}↻ restarted{ago}{cause}");
        }
        if let Some(Ok(supervised)) = asked {
            self.children(&supervised, rest);
        }
    }

    /// Asks a child that runs what it waits for.
    fn ask(&self, child: &ChildInfo) -> Option<Answer<ProcessInfo>> {
        let process = child.process.as_ref()?;
        Some(self.node.ask_process_info(process, INFO_TIMEOUT))
    }

    /// Returns what a process waits for, unless it just receives.
    fn waits(&self, info: Result<ProcessInfo, CallError>) -> String {
        match info {
            Ok(info) => match (info.waits_for, info.timeout) {
                (WaitsFor::Receive, Some(left)) if self.with_ages => {
                    format!("timeout in {:.1} s", left.as_secs_f64())
                }
                (WaitsFor::Receive, _) => String::new(),
                (waits_for, _) => waits_for.to_string(),
            },
            Err(CallError::Timeout) => {
                format!("no answer in {} ms", INFO_TIMEOUT.as_millis())
            }
            // Its end is drawn.
            Err(CallError::NoProcess) => String::new(),
        }
    }

    fn children(&mut self, supervised: &Children, before: &str) {
        let lines = supervised.children.len() + usize::from(supervised.more > 0);
        // All are asked before the first answer is awaited.
        let infos = supervised.children.iter().map(|child| self.ask(child));
        let infos: Vec<_> = infos.collect();
        for ((line, child), info) in (1..).zip(&supervised.children).zip(infos) {
            let [first, rest] = if line < lines {
                ["├─ ", "│  "]
            } else {
                ["└─ ", "   "]
            };
            let prefixes = [format!("{before}{first}"), format!("{before}{rest}")];
            self.child(child, info, [&prefixes[0], &prefixes[1]]);
        }
        if supervised.more > 0 {
            let _ = writeln!(self.text, "{before}└─ … and {} more", supervised.more);
        }
    }
}
