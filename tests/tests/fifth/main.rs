//! Tests of the suite itself: a deliberately small fifth model passes every case; with one flaw it fails the cases named for
//! that flaw; and as a command with few features it skips the cases that need more.

mod address;
mod caught_by;
mod client;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod connection;
mod daemon;
mod faults;
mod fetching;
mod flaw;
mod proxy;
mod server;
mod sink;
mod smoke;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::subject::InProcess;
use conformance::{Case, Subject, Verdict, cases};
use libtest_mimic::{Failed, Trial};
use poetry::{Client, Model, Observer, Options, Reporter, Server, Service};

use caught_by::caught_by;
use flaw::Flaw;

/// A model with a thread for each task, and with one flaw or none.
struct Fifth(Flaw);

/// Threads of this program, unless its arguments set another number: a case that catches a flaw often waits for what never comes.
const THREADS: usize = 16;

static FIFTH: Fifth = Fifth(Flaw::None);

impl Model for Fifth {
    fn name(&self) -> &'static str {
        "fifth"
    }

    fn serve(
        &self,
        listener: TcpListener,
        service: Service,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Box<dyn Server>> {
        let role = service.role();
        let reporter = Reporter::new("fifth", role, options.clock.clone(), observer);
        let limits = options.limits.clone();
        let server = server::Server::start(listener, service, limits, reporter, self.0)?;
        Ok(Box::new(server))
    }

    fn client(&self, options: &Options) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(client::Client {
            options: options.clone(),
            flaw: self.0,
        }))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == command::SERVE) {
        command::serve(&words[1..]);
    }
    if words.first().is_some_and(|word| word == fetching::FETCH) {
        fetching::fetch(&words[1..]);
    }
    let arguments = common::arguments(THREADS);
    common::prepare();
    let coverage = Arc::new(Coverage::default());
    let (fifth, as_command) = (
        subject(&FIFTH),
        Arc::new(Subject::Command(command::subject())),
    );
    let mut trials = Vec::new();
    for case in cases::all() {
        trials.push(common::trial(case, &fifth, &coverage));
        trials.push(common::trial(case, &as_command, &coverage));
    }
    for (flaw, roles, names) in caught_by() {
        let paths = roles
            .iter()
            .flat_map(|role| names.iter().map(move |name| format!("{role}::{name}")));
        trials.extend(paths.map(|path| flaw_trial(flaw, path)));
    }
    trials.push(Trial::test(
        "every_case_catches_a_flaw",
        every_case_catches_a_flaw,
    ));
    trials.push(Trial::test(
        "a_case_that_needs_a_missing_feature_is_skipped",
        missing_features_are_skipped,
    ));
    trials.extend(smoke::trials());
    trials.extend(address::trials());
    trials.extend(faults::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn subject(model: &'static Fifth) -> Arc<Subject> {
    Arc::new(Subject::InProcess(InProcess {
        model,
        listen: models::listen,
        clock: models::clock(),
        offloads: true,
    }))
}

/// Returns the test that the case at `path` catches `flaw`.
fn flaw_trial(flaw: Flaw, path: String) -> Trial {
    let name = format!("flaw::{flaw:?}::is_caught_by::{path}");
    Trial::test(name, move || expect_caught(flaw, &path))
}

/// Checks that no case is without a flaw that it must catch: a case that nothing fails tests nothing.
fn every_case_catches_a_flaw() -> Result<(), Failed> {
    let catches = |case: &Case| {
        let (role, name) = (case.role.name(), case.name);
        caught_by().any(|(_, roles, names)| roles.contains(&role) && names.contains(&name))
    };
    let all = cases::all();
    let without: Vec<_> = all.iter().filter(|case| !catches(case)).collect();
    match without.is_empty() {
        true => Ok(()),
        false => {
            let paths: Vec<_> = without.iter().map(|case| case.path()).collect();
            Err(format!("no flaw is caught by {}", paths.join(", ")).into())
        }
    }
}

/// Expects that the case fails. A busy machine can hide a flaw that is a matter of time, so the case has several attempts.
fn expect_caught(flaw: Flaw, path: &str) -> Result<(), Failed> {
    const ATTEMPTS: usize = 3;
    let flawed: &'static Fifth = Box::leak(Box::new(Fifth(flaw)));
    let (case, subject) = (find(path)?, subject(flawed));
    let mut verdict = Verdict::Passed;
    for _ in 0..ATTEMPTS {
        verdict = case.test(&subject, common::seed());
        if matches!(verdict, Verdict::Failed(_)) {
            return Ok(());
        }
    }
    Err(format!("expected the case to catch {flaw:?}, got {verdict:?}").into())
}

fn find(path: &str) -> Result<Case, Failed> {
    let found = cases::all().into_iter().find(|case| case.path() == path);
    found.ok_or_else(|| format!("there is no case {path}").into())
}

/// Checks that every case is skipped whose features the command does not have.
fn missing_features_are_skipped() -> Result<(), Failed> {
    let subject = Arc::new(Subject::Command(command::subject()));
    for case in cases::all() {
        if let Some(lacking) = subject.lacks(&case) {
            let verdict = case.test(&subject, common::seed());
            if verdict != Verdict::Skipped(format!("needs {lacking}")) {
                return Err(format!("{}: expected a skip, got {verdict:?}", case.path()).into());
            }
        }
    }
    Ok(())
}
