//! The suite, applied to every model of `models::ALL`: one test for each model and case, then every model's client
//! against every model's servers. At the end it prints which rules were tested for whom.
//!
//! `cargo test -p quatrain-tests --test conformance callbacks::transform_server` runs those of one model and role. A
//! command is put to the same cases when `QUATRAIN_COMMAND` holds its template (see [`Command`]), for one
//! `quatrain serve {mode} --model actors {limits} {threads} {stats} {grace}`; its tests begin with `command::`.

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use conformance::coverage::Coverage;
use conformance::interop::{self, Interop};
use conformance::subject::{Command, InProcess};
use conformance::{Role, Subject, cases};
use libtest_mimic::Trial;

fn main() -> ExitCode {
    let arguments = common::arguments();
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
    trials.extend(crossed(&subjects, &coverage));
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
    }))
}

/// Every client against every other's servers, and its own. It counts as coverage of the client.
fn crossed(subjects: &[Arc<Subject>], coverage: &Arc<Coverage>) -> Vec<Trial> {
    let poems = common::poems();
    let mut trials = Vec::new();
    for client in subjects
        .iter()
        .filter(|client| client.plays(Role::PoemClient))
    {
        for servers in subjects {
            let suited = interop::ALL.iter().filter(|pairing| pairing.suits(servers));
            trials.extend(suited.map(|&pairing| {
                let name = name(pairing, client, servers);
                let (client, servers) = (Arc::clone(client), Arc::clone(servers));
                let (poems, coverage) = (Arc::clone(&poems), Arc::clone(coverage));
                Trial::ignorable_test(name, move || {
                    let verdict = pairing.test(&client, &servers, &poems, common::seed());
                    coverage.note(client.name(), pairing.rules, &verdict);
                    common::completion(verdict)
                })
            }));
        }
    }
    trials
}

fn name(pairing: Interop, client: &Subject, servers: &Subject) -> String {
    format!(
        "crossed::{}_client::{}_servers::{}",
        client.name(),
        servers.name(),
        pairing.name
    )
}
