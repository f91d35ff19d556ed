//! Runs the fault cases against `quatrain` with each model, and keeps the page FAULTS.md and its line in the README current.
//!
//! `QUATRAIN_FAULTS=all` also runs the long cases and those that need root. `QUATRAIN_BLESS=1` writes the page instead of
//! comparing. `QUATRAIN_BARE=1` also runs every case against the bare servers, which do not have to pass.

mod bare;
mod document;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use conformance::Verdict;
use conformance::faults::page::{Bare, Page};
use conformance::faults::{FaultCase, Program, cases};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn main() -> ExitCode {
    /// Most cases mostly wait.
    const THREADS: usize = 16;
    if let Some(ended) = bare::serve() {
        return ended;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If this fails, the largest cases are skipped for lack of descriptors.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let asked_for = std::env::var("QUATRAIN_FAULTS").is_ok_and(|which| which == "all");
    let page = Arc::new(Mutex::new(Page::default()));
    let cases = cases::all();
    let mut trials = Vec::new();
    for program in models::ALL.iter().map(|model| quatrain(model.name())) {
        let of_model = |case: &FaultCase| trial(*case, &program, &page, asked_for);
        trials.extend(cases.iter().map(of_model));
    }
    for program in bare::programs() {
        let of_kind = |case: &FaultCase| bare::trial(*case, &program, &page, asked_for);
        trials.extend(cases.iter().map(of_kind));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let page = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_run = !arguments.list && conclusion.num_passed + conclusion.num_failed > 0;
    match is_run && !document::keep_current(&cases, page) {
        true => ExitCode::FAILURE,
        false => conclusion.exit_code(),
    }
}

/// Returns the command with `model`.
fn quatrain(model: &str) -> Arc<Program> {
    let words = |template: &str| -> Vec<String> {
        let arguments = template.split(' ').chain(["--model", model]);
        let program = [env!("CARGO_BIN_EXE_quatrain")];
        program
            .into_iter()
            .chain(arguments)
            .map(str::to_owned)
            .collect()
    };
    let serve = words("serve {mode} {listen} {limits} {threads} {stats} {grace} {log}");
    Arc::new(Program::new(model, serve).with_client(words("fetch {fetch}")))
}

/// Returns the test that runs `case` against `program`, and adds what was observed to `page`.
fn trial(case: FaultCase, program: &Arc<Program>, page: &Arc<Mutex<Page>>, asked: bool) -> Trial {
    let (program, page) = (Arc::clone(program), Arc::clone(page));
    let name = format!("{}::{}", program.name(), case.path());
    Trial::ignorable_test(name, move || {
        if let Some(lacking) = case.lacks(asked) {
            return Ok(Completion::ignored_with(format!("needs {lacking}")));
        }
        match case.test(&program) {
            (Verdict::Passed, observed) => {
                let observed = observed.unwrap_or_default().to_string();
                note(&page, |page| page.observe(&case, program.name(), &observed));
                Ok(Completion::Completed)
            }
            (Verdict::Skipped(why), _) => Ok(Completion::ignored_with(format!("skipped: {why}"))),
            (Verdict::Failed(why), _) => Err(Failed::from(why)),
        }
    })
}

fn note(page: &Mutex<Page>, change: impl FnOnce(&mut Page)) {
    change(&mut page.lock().unwrap_or_else(PoisonError::into_inner));
}
