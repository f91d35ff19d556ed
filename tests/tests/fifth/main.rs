//! Tests of the suite itself: a deliberately small fifth model passes every case; with one flaw it fails the cases named for
//! that flaw; and as a command with few features it skips the cases that need more.

mod client;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod connection;
mod flaw;
mod proxy;
mod server;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::subject::InProcess;
use conformance::{Case, Subject, Verdict, cases};
use libtest_mimic::{Failed, Trial};
use poetry::{Client, Model, Observer, Options, Reporter, Server, Service};

use flaw::{CAUGHT_BY, Flaw};

/// A model with a thread for each task, and with one flaw or none.
struct Fifth(Flaw);

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
    let arguments = common::arguments();
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
    trials.extend(
        CAUGHT_BY
            .iter()
            .flat_map(|&(flaw, names)| flaw_trials(flaw, names)),
    );
    trials.push(Trial::test(
        "a_case_that_needs_a_missing_feature_is_skipped",
        missing_features_are_skipped,
    ));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn subject(model: &'static Fifth) -> Arc<Subject> {
    Arc::new(Subject::InProcess(InProcess {
        model,
        listen: models::listen,
        clock: models::clock(),
    }))
}

/// Returns a test for each case that must catch `flaw`.
fn flaw_trials(flaw: Flaw, names: &'static [&'static str]) -> impl Iterator<Item = Trial> {
    names.iter().map(move |&name| {
        let path = format!("flaw::{flaw:?}::is_caught_by::{name}");
        Trial::test(path, move || expect_caught(flaw, name))
    })
}

fn expect_caught(flaw: Flaw, name: &str) -> Result<(), Failed> {
    let flawed: &'static Fifth = Box::leak(Box::new(Fifth(flaw)));
    match find(name)?.test(&subject(flawed), common::seed()) {
        Verdict::Failed(_) => Ok(()),
        other => Err(format!("expected the case to catch {flaw:?}, got {other:?}").into()),
    }
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
