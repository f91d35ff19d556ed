//! Runs cases against one subject, several at once, and hands over each verdict as it comes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, Role, Verdict};
use crate::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure};
use crate::subject::Subject;

/// Cases that run at once. Most of them mostly wait.
pub const CASES_AT_ONCE: usize = 8;

/// A case that has ended.
#[derive(Debug, Clone)]
pub struct Tested {
    /// The case.
    pub case: Case,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, with its wait for cases that run alone.
    pub elapsed: Duration,
}

/// Runs `cases` against `subject`; their randomness is derived from `seed`. Calls `each` in the caller's thread as they end, in
/// that order; once it returns false no further case is started.
pub fn run(
    subject: &Arc<Subject>,
    cases: &[Case],
    seed: u64,
    mut each: impl FnMut(Tested) -> bool,
) {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, ended) = mpsc::channel();
    let work = |sender: mpsc::Sender<Tested>| {
        while !stopped.load(Ordering::Relaxed)
            && let Some(&case) = cases.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let begun = Instant::now();
            let verdict = case.test(subject, seed);
            let tested = Tested {
                case,
                verdict,
                elapsed: begun.elapsed(),
            };
            if sender.send(tested).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE.min(cases.len()) {
            let (sender, work) = (sender.clone(), &work);
            scope.spawn(move || work(sender));
        }
        drop(sender);
        for tested in ended {
            if !each(tested) {
                stopped.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// Checks in about a second that `subject` is not plainly wrong in `role`: runs the role's smoke cases, as far as the subject has
/// the features that they need. Every case that ran must pass, and at least one must run.
///
/// # Errors
/// The first case that failed and why, or why the subject could not be started or tested.
pub fn verify(subject: &Arc<Subject>, role: Role, seed: u64) -> Result<(), String> {
    try_start(subject, role).map_err(|failure| failure.to_string())?;
    let (mut passed, mut problem, mut skipped) = (0, None, BTreeSet::new());
    run(subject, &smoke_cases(role), seed, |tested| {
        match tested.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(why) => {
                skipped.insert(why);
            }
            Verdict::Failed(why) if problem.is_none() => {
                problem = Some(format!("{} failed: {why}", tested.case.path()));
            }
            Verdict::Failed(_) => {}
        }
        problem.is_none()
    });
    match problem {
        Some(problem) => Err(problem),
        None if passed == 0 => {
            let (role, name) = (role.name(), subject.name());
            let reasons = Vec::from_iter(skipped).join(", ");
            Err(format!(
                "no smoke case of {role} applies to {name}: {reasons}"
            ))
        }
        None => Ok(()),
    }
}

/// Returns the smoke cases of `role`.
pub fn smoke_cases(role: Role) -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(|case| case.role == role && case.smoke);
    cases
}

/// Starts the subject once in `role`, so that one that cannot start is reported once and not by every case.
///
/// # Errors
/// It does not have the role, does not start, or does not accept a connection.
pub fn try_start(subject: &Arc<Subject>, role: Role) -> Check {
    if !subject.plays(role) {
        let name = subject.name();
        return Err(Failure::broken(format!("{name} is no {}", role.name())));
    }
    if let Some(server) = subject.running() {
        return accepts(server.address());
    }
    let context = Context::new(Arc::clone(subject), role, 0);
    let server = match role {
        Role::PoemClient | Role::TransformClient => return context.client().map(drop),
        Role::PoemServer | Role::Proxy => context.poem("a poem"),
        Role::TransformServer | Role::LibraryServer => context.one_shot(),
    };
    accepts(server.start()?.address())
}

/// A connection that is reset at once was accepted, too: the cases say what is wrong with that.
fn accepts(address: SocketAddr) -> Check {
    Connection::open_unless_reset(address).map(drop)
}
