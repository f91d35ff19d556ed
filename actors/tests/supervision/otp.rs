//! A second implementation of OTP's supervisor, in another style: it blocks while it stops a child, and events that happen
//! meanwhile wait in its mailbox.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use actors::{Intensity, Reason, Restart, Strategy};

use crate::supervised::{Act, Note, SECOND};

/// A supervisor and its children.
pub(crate) struct Otp {
    strategy: Strategy,
    intensity: Intensity,
    now: Duration,
    restarts: Vec<Duration>,
    /// In the order they were started in, without removed ones.
    children: Vec<Child>,
    /// Starts that fail before the next one succeeds.
    refusals: HashMap<u64, usize>,
    mailbox: VecDeque<Mail>,
    blocked: Option<Blocked>,
    /// Why the supervisor ended.
    pub(crate) ended: Option<Reason>,
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
    /// Its start failed and is tried again.
    Restarting,
    Alive,
    /// Its `'EXIT'` is in the supervisor's mailbox.
    Dead,
}

enum Mail {
    Exit(u64, Reason),
    TryAgain(u64),
    /// Its parent asks it to exit.
    Stop(Reason),
}

/// The supervisor is stopping children.
struct Blocked {
    /// The children left to stop, the last first.
    left: Vec<u64>,
    /// When the last of them is killed, once it was asked to stop.
    until: Option<Duration>,
    then: Then,
}

enum Then {
    Start(Vec<u64>),
    Exit(Reason),
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
            ended: None,
        }
    }

    /// Moves the time forward.
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

    /// Applies all acts before the supervisor runs, grouped by child in the order in which the children are woken.
    pub(crate) fn at_once(&mut self, acts: &[Act]) {
        for act in acts {
            if let Act::Refuse(number, starts) = act {
                self.refusals.insert(*number, *starts);
            }
        }
        // The supervisor is told first; the exits of children that are woken now come behind.
        for act in acts {
            if let Act::Stop(reason) = act {
                self.mailbox.push_back(Mail::Stop(reason.clone()));
            }
        }
        let mut woken: Vec<u64> = acts.iter().filter_map(Act::wakes).collect();
        let mut seen = HashSet::new();
        woken.retain(|number| seen.insert(*number));
        for number in woken {
            let to_it = acts.iter().filter(|act| act.wakes() == Some(number));
            // Signals take effect before messages.
            let (messages, signals): (Vec<_>, Vec<_>) =
                to_it.partition(|act| matches!(act, Act::End(..)));
            for act in signals.into_iter().chain(messages) {
                self.undergo(number, act);
            }
        }
        self.run();
    }

    fn undergo(&mut self, number: u64, act: &Act) {
        match act {
            Act::End(_, reason) => self.dies(number, reason),
            Act::Exit(_, reason) => {
                // A request to exit normally is ignored.
                let obeys = self.child(number).is_some_and(|child| !child.stubborn);
                if obeys && *reason != Reason::Normal {
                    self.dies(number, reason);
                }
            }
            Act::Kill(_) => self.dies(number, &Reason::Killed),
            Act::Refuse(..) | Act::Stop(_) => {}
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

    /// Runs the supervisor's loop until it has to wait.
    fn run(&mut self) {
        while self.ended.is_none() {
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
                Some(Mail::Stop(reason)) => self.shut_down(reason),
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

    /// Continues to stop the last of the children left.
    fn terminate(&mut self, mut blocked: Blocked) -> Option<Blocked> {
        let Some(&number) = blocked.left.last() else {
            match blocked.then {
                Then::Start(numbers) => self.start(&numbers),
                Then::Exit(reason) => self.ended = Some(reason),
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
        // Its exit is removed from the mailbox, whatever the reason.
        self.mailbox
            .retain(|mail| !matches!(mail, Mail::Exit(exited, _) if *exited == number));
        self.gone(number);
        blocked.left.pop();
        blocked.until = None;
        Some(blocked)
    }

    /// Marks a child that is not restarted now.
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
        let abnormal = *reason != Reason::Normal && !reason.is_shutdown();
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
            return self.shut_down(Reason::Shutdown);
        }
        let numbers = || self.children.iter().map(|child| child.number);
        let left: Vec<u64> = match self.strategy {
            Strategy::OneForOne => vec![number],
            Strategy::OneForAll => numbers().collect(),
            Strategy::RestForOne => numbers().skip_while(|other| *other != number).collect(),
        };
        self.blocked = Some(Blocked {
            then: Then::Start(left.clone()),
            left,
            until: None,
        });
    }

    fn shut_down(&mut self, reason: Reason) {
        self.blocked = Some(Blocked {
            left: self.children.iter().map(|child| child.number).collect(),
            until: None,
            then: Then::Exit(reason),
        });
    }

    /// Starts those that are still children, up to the first whose start fails.
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
