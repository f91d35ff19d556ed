//! What is known of the processes of a history, and what was seen of them.

use std::collections::HashMap;
use std::fmt::Display;

use actors::{Pid, ProcessId, ProcessRef, Reason, ToSupervisor};

use super::puppet::Mail;
use crate::history::Slot;
use crate::seen::Seen;

#[derive(Default)]
pub(super) struct Known {
    pub(super) step: usize,
    /// Starts so far.
    pub(super) starts: HashMap<Slot, usize>,
    /// The latest process of each slot.
    pub(super) latest: HashMap<Slot, Latest>,
    pub(super) names: HashMap<ProcessId, String>,
    /// Starts that fail before the next one succeeds.
    pub(super) refusals: HashMap<Slot, usize>,
    /// Processes that have not been seen to end. Supervisors are looked at whenever something is seen.
    pub(super) alive: Vec<(String, ProcessRef)>,
    pub(super) seen: Vec<Seen>,
    /// Where in `seen` supervisors end; the reason is known a moment later.
    pub(super) ending: Vec<usize>,
}

#[derive(Clone)]
pub(super) enum Latest {
    Puppet(Pid<Mail>),
    Supervisor(Pid<ToSupervisor>),
}

impl Latest {
    pub(super) fn process(&self) -> ProcessRef {
        match self {
            Self::Puppet(pid) => pid.process(),
            Self::Supervisor(pid) => pid.process(),
        }
    }
}

impl Known {
    pub(super) fn say(&mut self, who: &str, what: impl Display) {
        self.look_for_ends();
        self.push(who, what.to_string());
    }

    pub(super) fn look_for_ends(&mut self) {
        for at in std::mem::take(&mut self.ending).into_iter().rev() {
            let name = self.seen[at].who.clone();
            let ended = self
                .alive
                .extract_if(.., |(alive, process)| *alive == name && !process.is_alive());
            match ended.last() {
                Some((_, process)) => self.seen[at].what = ended_as(&process),
                None => drop(self.seen.remove(at)),
            }
        }
        let ended: Vec<_> = self
            .alive
            .extract_if(.., |(_, process)| !process.is_alive())
            .collect();
        // Children started after their supervisors, and end before them.
        for (name, process) in ended.into_iter().rev() {
            self.push(&name, ended_as(&process));
        }
    }

    fn push(&mut self, who: &str, what: String) {
        let (step, who) = (self.step, who.to_owned());
        self.seen.push(Seen { step, who, what });
    }

    pub(super) fn name(&self, process: Option<ProcessId>) -> &str {
        let name = process.and_then(|process| self.names.get(&process));
        name.map_or("driver", String::as_str)
    }
}

pub(super) fn ended_as(process: &ProcessRef) -> String {
    let reason = process.exit_reason().as_ref().map(word);
    format!("ended {}", reason.unwrap_or_default())
}

pub(super) fn word(reason: &Reason) -> String {
    match reason {
        Reason::Crash(word) => format!("crash {word}"),
        Reason::NoProcess => "noproc".to_owned(),
        reason if !reason.is_abnormal() && *reason != Reason::Normal => "shutdown".to_owned(),
        reason => reason.to_string(),
    }
}
