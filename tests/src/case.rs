//! A case: one sentence that a subject fulfils, fails, or cannot be asked.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::context::Context;
use crate::failure::{Check, Failure};
use crate::subject::Subject;

/// The program that a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves one poem.
    PoemServer,
    /// Fetches poems.
    PoemClient,
    /// Answers transform requests.
    TransformServer,
    /// Has fetched poems transformed.
    TransformClient,
}

impl Role {
    /// The name of the file that holds it in every model.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoemServer => "poem_server",
            Self::PoemClient => "poem_client",
            Self::TransformServer => "transform_server",
            Self::TransformClient => "transform_client",
        }
    }
}

/// What a subject may offer, and a case need, besides the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What it has counted can be asked at any time (S23).
    Counters,
    /// Its limits can be set.
    Limits,
    /// It can be told to stop, with a grace (S21).
    Signals,
    /// It serves the laboratory's transforms.
    Lab,
    /// Its connections can ask more than once.
    KeepAlive,
    /// What happens in it is told to an observer.
    Events,
    /// It can be given more threads.
    Threads,
    /// A thousand connections at once: such cases take turns.
    ManyConnections,
}

impl Need {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Limits => "limits",
            Self::Signals => "signals",
            Self::Lab => "lab",
            Self::KeepAlive => "keep-alive",
            Self::Events => "events",
            Self::Threads => "threads",
            Self::ManyConnections => "a crowd",
        }
    }
}

/// One sentence about one role, and how it is found out whether a subject fulfils it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The sentence, in snake case.
    pub name: &'static str,
    /// Whom it is about.
    pub role: Role,
    /// The rules of SEMANTICS.md that it tests.
    pub rules: &'static [&'static str],
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// Finds out.
    pub run: fn(&Context) -> Check,
}

/// The cases of one file, each by the name of its function, with the rules it tests and what it needs:
/// `closes_on_a_leading_zero [S2 S4] needs [Counters]`.
macro_rules! cases {
    ($role:ident: $($name:ident [$($rule:ident)*] $(needs [$($need:ident)*])?,)*) => {
        pub(super) const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case {
                name: stringify!($name),
                role: $crate::case::Role::$role,
                rules: &[$(stringify!($rule)),*],
                needs: &[$($($crate::case::Need::$need),*)?],
                run: $name,
            },
        )*];
    };
}
pub(crate) use cases;

/// How a case ended for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The subject does as the sentence says.
    Passed,
    /// It cannot be asked; why not.
    Skipped(String),
    /// It does not; what was expected, and what came.
    Failed(String),
}

/// A case that has not ended by then hangs: something it called does not return.
const CASE_TIME_MAX: Duration = Duration::from_secs(90);

impl Case {
    /// The case's full name: `transform_server::closes_on_a_leading_zero`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.role.name(), self.name)
    }

    /// Puts the case to `subject`; what is random in it follows from `seed`.
    ///
    /// It never blocks for good: a case that hangs has failed, and its thread is left behind.
    pub fn test(self, subject: &Arc<Subject>, seed: u64) -> Verdict {
        if let Some(lacking) = subject.lacks(&self) {
            return Verdict::Skipped(format!("needs {lacking}"));
        }
        // Waiting for one's turn is no part of the case's time.
        let _turn = self.needs.contains(&Need::ManyConnections).then(turn);
        let context = Context::new(Arc::clone(subject), seed);
        verdict(self.rules, seed, move || (self.run)(&context))
    }
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` in a thread of its own, and says how it ended.
pub(crate) fn verdict(
    rules: &[&str],
    seed: u64,
    work: impl FnOnce() -> Check + Send + 'static,
) -> Verdict {
    let failed =
        |words: String| Verdict::Failed(format!("{}: {words} (seed {seed})", rules.join(", ")));
    let (sender, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let ended = work();
        // Nobody listens any more when the case took too long; it has been judged.
        let _ = sender.send(ended);
    });
    match result.recv_timeout(CASE_TIME_MAX) {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Failure::Broken(words))) => failed(words),
        Ok(Err(Failure::Needs(what))) => Verdict::Skipped(format!("needs {what}")),
        Err(RecvTimeoutError::Timeout) => {
            failed(format!("the case had not ended after {CASE_TIME_MAX:?}"))
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => failed(format!("a panic: {}", poetry::panics::message(&*panic))),
            Ok(()) => failed("the case ended without a verdict".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_the_rules_and_the_seed() {
        let broken = || Err(Failure::broken("no reply"));
        let said = "S2, S4: no reply (seed 7)".to_owned();
        assert_eq!(verdict(&["S2", "S4"], 7, broken), Verdict::Failed(said));
    }

    #[test]
    fn a_panic_is_a_failure_and_a_need_is_neither() {
        let panicked = verdict(&["S1"], 0, || panic!("odd"));
        assert_eq!(
            panicked,
            Verdict::Failed("S1: a panic: odd (seed 0)".to_owned())
        );
        let needy = verdict(&["S1"], 0, || Err(Failure::Needs("IPv6".to_owned())));
        assert_eq!(needy, Verdict::Skipped("needs IPv6".to_owned()));
    }
}
