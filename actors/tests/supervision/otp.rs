//! OTP's supervisor, written down a second time and otherwise: it blocks while it stops a child, and what happens
//! meanwhile waits in its mailbox.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use actors::monitor::Reason;
use actors::supervisor::{Intensity, Restart, Strategy};

use crate::supervised::{Act, Note, SECOND};

/// A supervisor and its children.
pub(crate) struct Otp {
    strategy: Strategy,
    intensity: Intensity,
    now: Duration,
    restarts: Vec<Duration>,
    /// In the order they were started in; those that are forgotten are taken out.
    children: Vec<Child>,
    /// Starts that fail before the next one succeeds.
    refusals: HashMap<u64, usize>,
    mailbox: VecDeque<Mail>,
    blocked: Option<Blocked>,
    pub(crate) is_alive: bool,
    pub(crate) notes: Vec<Note>,
}

struct Child {
    number: u64,
    restart: Restart,
    stubborn: bool,
    pid: Pid,
}

#[derive(Clone, Copy, PartialEq)]
enum Pid {
    Undefined,
    /// It did not start and is tried again.
    Restarting,
    Alive,
    /// Its `'EXIT'` is in the supervisor's mailbox.
    Dead,
}

enum Mail {
    Exit(u64, Reason),
    TryAgain(u64),
}

/// It terminates children.
struct Blocked {
    /// The last is stopped first.
    left: Vec<u64>,
    /// Until when the last of them has time, once it was asked.
    until: Option<Duration>,
    /// What is started then; nothing if it exits.
    then: Option<Vec<u64>>,
}

impl Otp {
    pub(crate) fn new(
        strategy: Strategy,
        intensity: Intensity,
        children: &[(Restart, bool)],
    ) -> Self {
        let child = |(number, &(restart, stubborn))| Child {
            number,
            restart,
            stubborn,
            pid: Pid::Alive,
        };
        let children: Vec<_> = (0..).zip(children).map(child).collect();
        Self {
            strategy,
            intensity,
            now: Duration::ZERO,
            restarts: Vec::new(),
            notes: children
                .iter()
                .map(|child| Note::Started(child.number))
                .collect(),
            children,
            refusals: HashMap::new(),
            mailbox: VecDeque::new(),
            blocked: None,
            is_alive: true,
        }
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, wait: Duration) {
        let then = self.now + wait;
        while let Some(until) = self.blocked.as_ref().and_then(|blocked| blocked.until)
            && until <= then
        {
            self.now = until;
            self.run();
        }
        self.now = then;
    }

    /// All this happens before the supervisor looks: to one child after another, as they are woken.
    pub(crate) fn at_once(&mut self, acts: &[Act]) {
        for act in acts {
            if let Act::Refuse(number, starts) = act {
                self.refusals.insert(*number, *starts);
            }
        }
        let mut woken: Vec<u64> = acts.iter().filter_map(Act::wakes).collect();
        let mut seen = HashSet::new();
        woken.retain(|number| seen.insert(*number));
        for number in woken {
            let to_it = |act: &&Act| act.wakes() == Some(number);
            acts.iter()
                .filter(to_it)
                .for_each(|act| self.undergo(number, act));
        }
        // OTP would hear of this after a restart that is under way; here the restart is given up.
        if acts.contains(&Act::Stop) && self.is_alive {
            self.shut_down();
        }
        self.run();
    }

    fn undergo(&mut self, number: u64, act: &Act) {
        match act {
            Act::End(_, reason) => self.dies(number, reason),
            Act::Exit(_, reason) => {
                // What is asked to exit normally does not hear of it.
                let obeys = self.child(number).is_some_and(|child| !child.stubborn);
                if obeys && *reason != Reason::Normal {
                    self.dies(number, reason);
                }
            }
            Act::Kill(_) => self.dies(number, &Reason::Killed),
            Act::Refuse(..) | Act::Stop => {}
        }
    }

    fn child(&mut self, number: u64) -> Option<&mut Child> {
        self.children
            .iter_mut()
            .find(|child| child.number == number)
    }

    fn dies(&mut self, number: u64, reason: &Reason) {
        if let Some(child) = self.child(number)
            && child.pid == Pid::Alive
        {
            child.pid = Pid::Dead;
            self.notes.push(Note::Ended(number, reason.clone()));
            self.mailbox.push_back(Mail::Exit(number, reason.clone()));
        }
    }

    /// The supervisor's loop, until it has to wait.
    fn run(&mut self) {
        while self.is_alive {
            if let Some(blocked) = self.blocked.take() {
                self.blocked = self.terminate(blocked);
                if self
                    .blocked
                    .as_ref()
                    .is_some_and(|blocked| blocked.until.is_some())
                {
                    return;
                }
                continue;
            }
            match self.mailbox.pop_front() {
                None => return,
                Some(Mail::Exit(number, reason)) => self.handle_exit(number, &reason),
                Some(Mail::TryAgain(number)) => {
                    if self
                        .child(number)
                        .is_some_and(|child| child.pid == Pid::Restarting)
                    {
                        self.restart(number);
                    }
                }
            }
        }
    }

    /// Goes on with the last of those to be stopped.
    fn terminate(&mut self, mut blocked: Blocked) -> Option<Blocked> {
        let Some(&number) = blocked.left.last() else {
            match blocked.then {
                Some(start) => self.start(&start),
                None => self.is_alive = false,
            }
            return None;
        };
        let now = self.now;
        let Some(child) = self.child(number) else {
            blocked.left.pop();
            return Some(blocked);
        };
        if child.pid == Pid::Alive {
            match blocked.until {
                Some(until) if until <= now => self.dies(number, &Reason::Killed),
                Some(_) => return Some(blocked),
                None if child.stubborn => {
                    blocked.until = Some(now + SECOND);
                    return Some(blocked);
                }
                None => self.dies(number, &Reason::Shutdown),
            }
        }
        // Its exit is taken out of the mailbox, whatever it died of.
        self.mailbox
            .retain(|mail| !matches!(mail, Mail::Exit(exited, _) if *exited == number));
        self.gone(number);
        blocked.left.pop();
        blocked.until = None;
        Some(blocked)
    }

    /// A child that is not restarted now.
    fn gone(&mut self, number: u64) {
        if let Some(child) = self.child(number) {
            child.pid = Pid::Undefined;
            if child.restart == Restart::Temporary {
                self.children.retain(|child| child.number != number);
            }
        }
    }

    fn handle_exit(&mut self, number: u64, reason: &Reason) {
        let Some(child) = self.child(number) else {
            return;
        };
        let abnormal = !matches!(reason, Reason::Normal | Reason::Shutdown);
        match child.restart {
            Restart::Permanent => self.restart(number),
            Restart::Transient if abnormal => self.restart(number),
            Restart::Transient | Restart::Temporary => self.gone(number),
        }
    }

    fn restart(&mut self, number: u64) {
        self.restarts.push(self.now);
        self.gone(number);
        let (now, period) = (self.now, self.intensity.period);
        let recent = self.restarts.iter().filter(|time| **time + period >= now);
        if recent.count() > self.intensity.restarts {
            return self.shut_down();
        }
        let numbers = || self.children.iter().map(|child| child.number);
        let left: Vec<u64> = match self.strategy {
            Strategy::OneForOne => vec![number],
            Strategy::OneForAll => numbers().collect(),
            Strategy::RestForOne => numbers().skip_while(|other| *other != number).collect(),
        };
        self.blocked = Some(Blocked {
            then: Some(left.clone()),
            left,
            until: None,
        });
    }

    fn shut_down(&mut self) {
        let under_way = self.blocked.take();
        let mut left: Vec<u64> = self.children.iter().map(|child| child.number).collect();
        let mut until = None;
        if let Some(blocked) = under_way
            && let Some(asked) = blocked.left.last()
        {
            left.push(*asked);
            until = blocked.until;
        }
        self.blocked = Some(Blocked {
            left,
            until,
            then: None,
        });
    }

    /// Starts those that are still its children, up to the first that does not start.
    fn start(&mut self, numbers: &[u64]) {
        for &number in numbers {
            let refusals = self.refusals.entry(number).or_default();
            let refused = std::mem::take(refusals);
            *refusals = refused.saturating_sub(1);
            let Some(child) = self
                .children
                .iter_mut()
                .find(|child| child.number == number)
            else {
                continue;
            };
            if refused > 0 {
                child.pid = Pid::Restarting;
                self.mailbox.push_back(Mail::TryAgain(number));
                return;
            }
            child.pid = Pid::Alive;
            self.notes.push(Note::Started(number));
        }
    }
}
