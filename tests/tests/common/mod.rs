//! Shared by the suite's test targets: a test for each case, the seed, the poems, the limit of descriptors.

use std::path::Path;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::{Case, Subject, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Returns the seed of all randomness: `QUATRAIN_SEED`, or a constant. A failed case prints it.
pub(crate) fn seed() -> u64 {
    const DEFAULT: u64 = 22;
    let given = std::env::var("QUATRAIN_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(DEFAULT)
}

/// Returns the arguments, with `threads` unless they set another number.
pub(crate) fn arguments(threads: usize) -> Arguments {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(threads));
    arguments
}

/// Raises the limit of descriptors as far as allowed, and silences panics that a subject contains.
pub(crate) fn prepare() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If this fails, the largest cases are skipped for lack of descriptors.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    poetry::panics::silence_contained();
}

/// Returns the test that runs `case` against `subject`.
pub(crate) fn trial(case: Case, subject: &Arc<Subject>, coverage: &Arc<Coverage>) -> Trial {
    let name = format!("{}::{}", subject.name(), case.path());
    let (subject, coverage) = (Arc::clone(subject), Arc::clone(coverage));
    Trial::ignorable_test(name, move || {
        let verdict = case.test(&subject, seed());
        coverage.record(subject.name(), case.rules, &verdict);
        completion(verdict)
    })
}

/// Converts a verdict for the test harness. A skipped case never counts as passed.
pub(crate) fn completion(verdict: Verdict) -> Result<Completion, Failed> {
    match verdict {
        Verdict::Passed => Ok(Completion::Completed),
        Verdict::Skipped(why) => Ok(Completion::ignored_with(format!("skipped: {why}"))),
        Verdict::Failed(why) => Err(Failed::from(why)),
    }
}

/// Returns the project's poems, ordered by file name.
///
/// # Panics
/// If they cannot be read.
#[allow(dead_code)] // Only one of the targets uses them.
pub(crate) fn poems() -> Arc<[String]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../poems");
    let entries = std::fs::read_dir(folder).expect("the folder of poems");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a poem").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a poem of UTF-8"))
        .collect()
}
