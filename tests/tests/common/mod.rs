//! What the suite's test targets share: trials out of cases, the seed, the poems, descriptors.

use std::path::Path;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::{Case, Subject, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The seed of everything random: `QUATRAIN_SEED`, or always the same. A failure names it.
pub(crate) fn seed() -> u64 {
    const USUAL: u64 = 22;
    let given = std::env::var("QUATRAIN_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(USUAL)
}

/// The arguments, with more threads than cores unless told otherwise: most cases wait most of the time.
pub(crate) fn arguments() -> Arguments {
    const THREADS: usize = 8;
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    arguments
}

/// Prepares the process: as many descriptors as it may have, and no panic printed that a subject contains.
pub(crate) fn prepare() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where this is refused, the largest cases say what they lack.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    poetry::panics::silence_contained();
}

/// One test for `case` and `subject`.
pub(crate) fn trial(case: Case, subject: &Arc<Subject>, coverage: &Arc<Coverage>) -> Trial {
    let name = format!("{}::{}", subject.name(), case.path());
    let (subject, coverage) = (Arc::clone(subject), Arc::clone(coverage));
    Trial::ignorable_test(name, move || {
        let verdict = case.test(&subject, seed());
        coverage.note(subject.name(), case.rules, &verdict);
        completion(verdict)
    })
}

/// A verdict in the harness's words. What was skipped is never counted as passed.
pub(crate) fn completion(verdict: Verdict) -> Result<Completion, Failed> {
    match verdict {
        Verdict::Passed => Ok(Completion::Completed),
        Verdict::Skipped(why) => Ok(Completion::ignored_with(format!("skipped: {why}"))),
        Verdict::Failed(why) => Err(Failed::from(why)),
    }
}

/// The poems of the project, in the order of their names.
///
/// # Panics
/// If they are not where they belong.
#[allow(dead_code)] // Not every target of the suite reads them.
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
