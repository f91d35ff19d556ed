//! Random histories of exits against an independent model of OTP's rules (O5).

use std::time::Duration;

use actors::monitor::Reason;
use actors::supervisor::{Intensity, Restart, Strategy};
use proptest::prelude::*;

use crate::troupe::{Note, SECOND, Troupe};

/// OTP's rules, written down a second time and otherwise.
struct Model {
    strategy: Strategy,
    intensity: Intensity,
    now: Duration,
    restarts: Vec<Duration>,
    /// Number, restart, whether it runs; those that are forgotten are taken out.
    children: Vec<(u64, Restart, bool)>,
    alive: bool,
    notes: Vec<Note>,
}

impl Model {
    fn new(strategy: Strategy, intensity: Intensity, children: &[(Restart, bool)]) -> Self {
        let children: Vec<_> = (0..)
            .zip(children)
            .map(|(number, (restart, _))| (number, *restart, true))
            .collect();
        let notes = children
            .iter()
            .map(|child| Note::Started(child.0))
            .collect();
        Self {
            strategy,
            intensity,
            now: Duration::ZERO,
            restarts: Vec::new(),
            children,
            alive: true,
            notes,
        }
    }

    fn end(&mut self, number: u64, reason: Reason) {
        let Some(at) = self
            .children
            .iter()
            .position(|child| child.0 == number && child.2)
        else {
            return;
        };
        if !self.alive {
            return;
        }
        self.notes.push(Note::Ended(number, reason.clone()));
        self.children[at].2 = false;
        let abnormal = !matches!(reason, Reason::Normal | Reason::Shutdown);
        match self.children[at].1 {
            Restart::Temporary => {
                self.children.remove(at);
            }
            Restart::Transient if !abnormal => {}
            Restart::Transient | Restart::Permanent => self.restart(at),
        }
    }

    fn restart(&mut self, at: usize) {
        self.restarts.push(self.now);
        let recent = self
            .restarts
            .iter()
            .filter(|time| **time + self.intensity.period >= self.now);
        if recent.count() > self.intensity.restarts {
            self.stop(0..self.children.len());
            self.alive = false;
            return;
        }
        let concerned = match self.strategy {
            Strategy::OneForOne => at..at + 1,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => at..self.children.len(),
        };
        let before: Vec<u64> = self.children[..concerned.start]
            .iter()
            .map(|child| child.0)
            .collect();
        let one = self.children[at].0;
        self.stop(concerned);
        for child in &mut self.children {
            let apart = self.strategy == Strategy::OneForOne && child.0 != one;
            if !apart && !before.contains(&child.0) {
                child.2 = true;
                self.notes.push(Note::Started(child.0));
            }
        }
    }

    fn stop(&mut self, range: std::ops::Range<usize>) {
        for at in range.rev() {
            if std::mem::replace(&mut self.children[at].2, false) {
                self.notes
                    .push(Note::Ended(self.children[at].0, Reason::Shutdown));
                if self.children[at].1 == Restart::Temporary {
                    self.children.remove(at);
                }
            }
        }
    }
}

fn restarts() -> impl proptest::strategy::Strategy<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ]
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ]
}

fn reasons() -> impl proptest::strategy::Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::Normal),
        Just(Reason::Shutdown),
        Just(Reason::Killed),
        Just(Reason::crash("a false rhyme"))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn o5_random_histories_of_exits_end_as_otp_would_have_them(
        strategy in strategies(),
        bearable in 0_usize..5,
        children in prop::collection::vec((restarts(), Just(false)), 1..5),
        history in prop::collection::vec((0_u64..5, reasons(), 0_u64..4), 1..12),
    ) {
        let intensity = Intensity { restarts: bearable, period: 5 * SECOND };
        let troupe = Troupe::new(strategy, intensity, &children);
        let mut model = Model::new(strategy, intensity, &children);
        for (number, reason, seconds) in history {
            let wait = Duration::from_secs(seconds);
            troupe.clock().advance(wait);
            model.now += wait;
            troupe.end(number, reason.clone());
            model.end(number, reason);
        }
        prop_assert_eq!(troupe.notes(), model.notes);
        prop_assert_eq!(troupe.is_alive(), model.alive);
    }
}
