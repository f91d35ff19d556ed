//! Histories of processes: what exists at the beginning, and the acts of each instant. Displayed as Erlang terms, which
//! `histories.escript` reads.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// The place of a process: a supervised one is started again in the same place.
pub(crate) type Slot = usize;

/// The puppet that starts the root supervisor and so is its parent.
pub(crate) const ROOT_PARENT: Slot = 0;

#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Puppets that exist from the beginning, in the first slots.
    pub(crate) puppets: Vec<Manner>,
    /// The root supervisor.
    pub(crate) root: Child,
    pub(crate) instants: Vec<Instant>,
}

/// Acts that are done while no process runs, after a wait.
#[derive(Debug, Clone)]
pub(crate) struct Instant {
    pub(crate) wait: Duration,
    pub(crate) acts: Vec<Act>,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A message to a puppet.
    Do(Slot, Vec<Command>),
    /// A signal from a process that is not in the history.
    Signal(Slot, Signal),
    /// The next starts in this slot fail, so many; every other one by a crash.
    Refuse(Slot, usize),
}

/// How a process ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Normal,
    Shutdown,
    Crash(&'static str),
}

/// What `exit(Pid, Reason)` sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Exit(End),
    Kill,
}

/// How a puppet behaves besides the commands that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It does not trap exits.
    Plain,
    /// It traps exits, and goes on.
    Stubborn,
    /// It traps exits. When its supervisor exits or asks it to, it ends: for the same reason, or for one of its own.
    Obeys(Option<End>),
    /// As plain, but it removes the link with its supervisor.
    Unlinks,
}

#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) slot: Slot,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Worker(Manner),
    Supervisor {
        strategy: Strategy,
        intensity: usize,
        period: Duration,
        auto_shutdown: AutoShutdown,
        children: Vec<Child>,
    },
}

pub(crate) use actors::{AutoShutdown, Restart, Shutdown, Strategy};

/// What a puppet does in a handler.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    End(End),
    TrapExits,
    After(Duration),
    Link(Slot),
    Unlink(Slot),
    Monitor(Slot),
    /// The newest monitor.
    Demonitor,
    Signal(Slot, Signal),
    Send(Slot, &'static str),
    Call(Slot, Duration, Request),
    /// To the oldest call that was kept.
    Reply,
    Register(usize),
    SendToName(usize, &'static str),
    Spawn(Slot, Manner),
    SpawnLink(Slot, Manner),
    StartRoot(Slot),
    StartChild(Slot, Child),
    /// To a supervisor, about a child.
    Ask(Ask, Slot, Slot),
    WhichChildren(Slot),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Terminate,
    Restart,
    Delete,
}

/// What the called puppet does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    Answer,
    Keep,
    /// It forgets the caller.
    Drop,
    End(End),
}

impl Child {
    /// Calls `visit` for this child and all below, with the supervisor of each.
    pub(crate) fn visit<'a>(
        &'a self,
        parent: Option<Slot>,
        visit: &mut impl FnMut(&'a Child, Option<Slot>),
    ) {
        visit(self, parent);
        if let Kind::Supervisor { children, .. } = &self.kind {
            for child in children {
                child.visit(Some(self.slot), visit);
            }
        }
    }
}

/// Writes a list as Erlang does.
struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("[")?;
        for (index, item) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{item}")?;
        }
        out.write_str("]")
    }
}

impl Display for History {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (puppets, instants) = (List(&self.puppets), List(&self.instants));
        write!(out, "{{{puppets},{},{instants}}}", self.root)
    }
}

impl Display for Instant {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{{{},{}}}", self.wait.as_millis(), List(&self.acts))
    }
}

impl Display for Act {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Do(slot, commands) => write!(out, "{{do,{slot},{}}}", List(commands)),
            Self::Signal(slot, signal) => write!(out, "{{signal,{slot},{signal}}}"),
            Self::Refuse(slot, starts) => write!(out, "{{refuse,{slot},{starts}}}"),
        }
    }
}

impl Display for End {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => out.write_str("normal"),
            Self::Shutdown => out.write_str("shutdown"),
            Self::Crash(word) => write!(out, "{{crash,{word}}}"),
        }
    }
}

impl Display for Signal {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(end) => end.fmt(out),
            Self::Kill => out.write_str("kill"),
        }
    }
}

impl Display for Manner {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => out.write_str("plain"),
            Self::Stubborn => out.write_str("stubborn"),
            Self::Obeys(None) => out.write_str("{obeys,same}"),
            Self::Obeys(Some(end)) => write!(out, "{{obeys,{end}}}"),
            Self::Unlinks => out.write_str("unlinks"),
        }
    }
}

impl Display for Child {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let restart = match self.restart {
            Restart::Permanent => "permanent",
            Restart::Transient => "transient",
            Restart::Temporary => "temporary",
        };
        let shutdown = match self.shutdown {
            Shutdown::After(wait) => wait.as_millis().to_string(),
            Shutdown::Kill => "brutal_kill".to_owned(),
            Shutdown::Infinity => "infinity".to_owned(),
        };
        let significant = self.significant;
        write!(
            out,
            "{{child,{},{restart},{shutdown},{significant},",
            self.slot
        )?;
        match &self.kind {
            Kind::Worker(manner) => write!(out, "{{worker,{manner}}}")?,
            Kind::Supervisor {
                strategy,
                intensity,
                period,
                auto_shutdown,
                children,
            } => {
                let (period, children) = (period.as_secs(), List(children));
                let auto_shutdown = match auto_shutdown {
                    AutoShutdown::Never => "never",
                    AutoShutdown::AnySignificant => "any_significant",
                    AutoShutdown::AllSignificant => "all_significant",
                };
                write!(
                    out,
                    "{{supervisor,{strategy},{intensity},{period},{auto_shutdown},{children}}}"
                )?;
            }
        }
        out.write_str("}")
    }
}

impl Display for Command {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(end) => write!(out, "{{'end',{end}}}"),
            Self::TrapExits => out.write_str("trap_exits"),
            Self::After(wait) => write!(out, "{{after_,{}}}", wait.as_millis()),
            Self::Link(slot) => write!(out, "{{link,{slot}}}"),
            Self::Unlink(slot) => write!(out, "{{unlink,{slot}}}"),
            Self::Monitor(slot) => write!(out, "{{monitor,{slot}}}"),
            Self::Demonitor => out.write_str("demonitor"),
            Self::Signal(slot, signal) => write!(out, "{{signal,{slot},{signal}}}"),
            Self::Send(slot, word) => write!(out, "{{send,{slot},{word}}}"),
            Self::Call(slot, wait, request) => {
                write!(out, "{{call,{slot},{},{request}}}", wait.as_millis())
            }
            Self::Reply => out.write_str("reply"),
            Self::Register(name) => write!(out, "{{register,{name}}}"),
            Self::SendToName(name, word) => write!(out, "{{send_to_name,{name},{word}}}"),
            Self::Spawn(slot, manner) => write!(out, "{{spawn,[],{slot},{manner}}}"),
            Self::SpawnLink(slot, manner) => write!(out, "{{spawn,[link],{slot},{manner}}}"),
            Self::StartRoot(slot) => write!(out, "{{start_root,{slot}}}"),
            Self::StartChild(slot, child) => write!(out, "{{start_child,{slot},{child}}}"),
            Self::Ask(ask, slot, child) => write!(out, "{{ask,{slot},{ask},{child}}}"),
            Self::WhichChildren(slot) => write!(out, "{{which_children,{slot}}}"),
        }
    }
}

impl Display for Request {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => out.write_str("answer"),
            Self::Keep => out.write_str("keep"),
            Self::Drop => out.write_str("drop"),
            Self::End(end) => write!(out, "{{'end',{end}}}"),
        }
    }
}

impl Display for Ask {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Terminate => "terminate_child",
            Self::Restart => "restart_child",
            Self::Delete => "delete_child",
        })
    }
}
