//! A case: one sentence about a role, which a subject passes or fails, or which is skipped.

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
    /// Sends fetched poems to a transform server.
    TransformClient,
    /// Serves poems by name.
    LibraryServer,
    /// Serves the cached poem of another server.
    Proxy,
}

impl Role {
    /// The name of the role's file in every model.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoemServer => "poem_server",
            Self::PoemClient => "poem_client",
            Self::TransformServer => "transform_server",
            Self::TransformClient => "transform_client",
            Self::LibraryServer => "library_server",
            Self::Proxy => "proxy",
        }
    }
}

/// A feature, besides the role, that a subject may offer and a case may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Its counters can be read at any time (S23).
    Counters,
    /// Its limits can be set.
    Limits,
    /// It can be stopped with a grace period (S21).
    Signals,
    /// It serves the lab transforms.
    Lab,
    /// A connection can send more than one request.
    KeepAlive,
    /// It reports events to an observer.
    Events,
    /// Its number of threads can be set.
    Threads,
    /// It computes heavy requests elsewhere than in its connections' threads (S25).
    Offloading,
    /// A thousand connections at once. Such cases run one after another.
    ManyConnections,
}

impl Need {
    /// The name that skipped cases print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Limits => "limits",
            Self::Signals => "signals",
            Self::Lab => "lab",
            Self::KeepAlive => "keep-alive",
            Self::Events => "events",
            Self::Threads => "threads",
            Self::Offloading => "offloading",
            Self::ManyConnections => "many connections",
        }
    }
}

/// One sentence about one role, and the function that tests a subject against it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The sentence, in snake case.
    pub name: &'static str,
    /// The role it tests.
    pub role: Role,
    /// The rules of SEMANTICS.md that it tests.
    pub rules: &'static [&'static str],
    /// The features it needs.
    pub needs: &'static [Need],
    /// Whether it is one of the few cases of its role that together catch a server that is plainly wrong, within about a second.
    pub smoke: bool,
    /// Tests the subject of the context.
    pub run: fn(&Context) -> Check,
}

/// Declares the cases of one file, each by the name of its function, with the rules it tests and the features it needs:
/// `closes_on_a_length_over_a_smaller_limit [S2 S4] needs [Limits]`. With several roles, each case is tested in each of them. A case
/// marked `#[smoke]` is also run before anything is measured.
macro_rules! cases {
    ($($role:ident)+: $($(#[$mark:ident])? $name:ident [$($rule:ident)*] $(needs [$($need:ident)*])?,)*) => {
        pub(super) fn cases() -> Vec<$crate::case::Case> {
            let roles = [$($crate::case::Role::$role),+];
            let of_role = |role| [$(
                $crate::case::Case {
                    name: stringify!($name),
                    role,
                    rules: &[$(stringify!($rule)),*],
                    needs: &[$($($crate::case::Need::$need),*)?],
                    smoke: $crate::case::is_smoke(&[$(stringify!($mark))?]),
                    run: $name,
                },
            )*];
            roles.into_iter().flat_map(of_role).collect()
        }
    };
}
pub(crate) use cases;

/// Returns whether the mark before a case in [`cases!`] is that of a smoke case. There is no other mark.
pub(crate) fn is_smoke(marks: &[&str]) -> bool {
    assert!(marks.iter().all(|&mark| mark == "smoke"), "{marks:?}");
    !marks.is_empty()
}

/// How a case ended for a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The subject behaves as the sentence says.
    Passed,
    /// The subject or this machine lacks a feature, which the text names.
    Skipped(String),
    /// The subject behaves differently; the text says what was expected and what happened.
    Failed(String),
}

/// A case that runs longer than this hangs: a call in it does not return.
const CASE_TIME_MAX: Duration = Duration::from_secs(90);

impl Case {
    /// The case's full name: `transform_server::closes_on_a_leading_zero`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.role.name(), self.name)
    }

    /// Runs the case against `subject`; its randomness is derived from `seed`.
    ///
    /// Always returns: a case that hangs fails after `CASE_TIME_MAX`, and its thread is abandoned.
    pub fn test(self, subject: &Arc<Subject>, seed: u64) -> Verdict {
        if let Some(lacking) = subject.lacks(&self) {
            return Verdict::Skipped(format!("needs {lacking}"));
        }
        // The wait for the lock does not count towards the case's time.
        let _lock = self
            .needs
            .contains(&Need::ManyConnections)
            .then(lock_many_connections);
        let context = Context::new(Arc::clone(subject), self.role, seed);
        verdict(self.rules, seed, move || (self.run)(&context))
    }
}

fn lock_many_connections() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` in its own thread and returns its verdict.
pub(crate) fn verdict(
    rules: &[&str],
    seed: u64,
    body: impl FnOnce() -> Check + Send + 'static,
) -> Verdict {
    let failed =
        |message: String| Verdict::Failed(format!("{}: {message} (seed {seed})", rules.join(", ")));
    let (sender, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        // The receiver is gone if the case took too long and has already failed.
        let _ = sender.send(body());
    });
    match result.recv_timeout(CASE_TIME_MAX) {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Failure::Broken(message))) => failed(message),
        Ok(Err(Failure::Needs(what))) => Verdict::Skipped(format!("needs {what}")),
        Err(RecvTimeoutError::Timeout) => {
            failed(format!("the case did not end within {CASE_TIME_MAX:?}"))
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => failed(format!("panicked: {}", poetry::panics::message(&*panic))),
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
        let message = "S2, S4: no reply (seed 7)".to_owned();
        assert_eq!(verdict(&["S2", "S4"], 7, broken), Verdict::Failed(message));
    }

    #[test]
    fn a_panic_fails_and_a_missing_feature_skips() {
        let panicked = verdict(&["S1"], 0, || panic!("odd"));
        assert_eq!(
            panicked,
            Verdict::Failed("S1: panicked: odd (seed 0)".to_owned())
        );
        let lacking = verdict(&["S1"], 0, || Err(Failure::Needs("IPv6".to_owned())));
        assert_eq!(lacking, Verdict::Skipped("needs IPv6".to_owned()));
    }
}
