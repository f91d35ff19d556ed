//! Runs the suite against every model of `models::ALL`: one test for each model and case, then every model's client against
//! every model's servers. At the end it prints which rules were tested for which subject.
//!
//! `cargo test -p quatrain-tests --test conformance callbacks::transform_server` runs the cases of one model and role. If
//! `QUATRAIN_COMMAND` is set to the template of a command (see [`Command`]), for example
//! `quatrain serve {mode} --model actors {limits} {threads} {stats} {grace}`, the cases run against it too, as `command::…`.

mod common;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::interop::{self, InteropCase};
use conformance::subject::{Command, InProcess};
use conformance::{Context, Role, Subject, cases};
use libtest_mimic::{Failed, Trial};

/// Threads of this program, unless its arguments set another number: most cases mostly wait.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let arguments = common::arguments(THREADS);
    common::prepare();
    let coverage = Arc::new(Coverage::default());
    let mut subjects: Vec<Arc<Subject>> = models::ALL.iter().map(|&model| subject(model)).collect();
    if let Ok(template) = std::env::var("QUATRAIN_COMMAND") {
        subjects.push(Arc::new(Subject::Command(Command::new(
            "command", &template,
        ))));
    }
    let mut trials = Vec::new();
    for case in cases::all() {
        trials.extend(
            subjects
                .iter()
                .map(|subject| common::trial(case, subject, &coverage)),
        );
    }
    trials.extend(models::ALL.iter().map(|&model| {
        let name = format!("{}::has_a_server_of_every_role", model.name());
        Trial::test(name, move || has_every_server(model))
    }));
    trials.extend(interop_trials(&subjects, &coverage));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && conclusion.num_passed + conclusion.num_failed > 0 {
        let names: Vec<String> = subjects
            .iter()
            .map(|subject| subject.name().to_owned())
            .collect();
        println!("{}", coverage.table(&names));
    }
    conclusion.exit_code()
}

fn subject(model: &'static dyn poetry::Model) -> Arc<Subject> {
    Arc::new(Subject::InProcess(InProcess {
        model,
        listen: models::listen,
        clock: models::clock(),
        // There the connection's own thread computes them, so that the limit on threads is the limit.
        offloads: model.name() != "blocking",
    }))
}

/// Starts a server of each role that a model may lack, whose cases would then be skipped.
fn has_every_server(model: &'static dyn poetry::Model) -> Result<(), Failed> {
    let library = |context: &Context| context.library(&[]).start();
    let proxy = |context: &Context| context.proxy(SocketAddr::from(([127, 0, 0, 1], 1))).start();
    let context = |role| Context::new(subject(model), role, common::seed());
    library(&context(Role::LibraryServer)).map_err(|failure| failure.to_string())?;
    proxy(&context(Role::Proxy)).map_err(|failure| failure.to_string())?;
    Ok(())
}

/// Returns a test for each client, each subject's servers and each interoperability case. It counts as coverage of the client.
fn interop_trials(subjects: &[Arc<Subject>], coverage: &Arc<Coverage>) -> Vec<Trial> {
    let poems = common::poems();
    let mut trials = Vec::new();
    for client in subjects
        .iter()
        .filter(|client| client.plays(Role::PoemClient))
    {
        for servers in subjects {
            let cases = interop::ALL.iter().filter(|case| case.applies_to(servers));
            trials.extend(cases.map(|&case| {
                let name = interop_name(case, client, servers);
                let (client, servers) = (Arc::clone(client), Arc::clone(servers));
                let (poems, coverage) = (Arc::clone(&poems), Arc::clone(coverage));
                Trial::ignorable_test(name, move || {
                    let verdict = case.test(&client, &servers, &poems, common::seed());
                    coverage.record(client.name(), case.rules, &verdict);
                    common::completion(verdict)
                })
            }));
        }
    }
    trials
}

fn interop_name(case: InteropCase, client: &Subject, servers: &Subject) -> String {
    format!(
        "interop::{}_client::{}_servers::{}",
        client.name(),
        servers.name(),
        case.name
    )
}
