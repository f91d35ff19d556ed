//! Verifies a subject before it is timed (MEASURING 1).

use std::sync::Arc;

use conformance::subject::Command;
use measure::process::{Launch, Process, ProcessError};
use measure::results::Kind;
use measure::subject::{Mode, Role, Start};
use measure::{Subject, verify};

/// Checks `subject` in `role`: models and other programs by the smoke cases of the conformance suite, the floor and bare loops,
/// which do not promise all of that, by a script of requests and replies.
pub(super) fn subject(subject: &Subject, role: Role, seed: u64) -> Result<(), String> {
    match (subject.kind, role) {
        (Kind::Model | Kind::External, _) => smoke(subject, role, seed),
        (Kind::Floor | Kind::Bare, Role::Transform) => [true, false]
            .into_iter()
            .try_for_each(|keep_alive| script(subject, keep_alive)),
        // Their replies are compared while they are measured.
        (Kind::Floor | Kind::Bare, _) => Ok(()),
    }
}

fn smoke(subject: &Subject, role: Role, seed: u64) -> Result<(), String> {
    let (template, _) = subject.server.as_ref().ok_or("it is no server")?;
    let command = Command::from_words(&subject.name, template.words());
    let role = match role {
        Role::Poem => conformance::Role::PoemServer,
        Role::Transform => conformance::Role::TransformServer,
        Role::Library => conformance::Role::LibraryServer,
        Role::Proxy => conformance::Role::Proxy,
    };
    let subject = Arc::new(conformance::Subject::Command(command));
    conformance::check::verify(&subject, role, seed)
}

/// Runs the script of requests and expected replies against it.
fn script(subject: &Subject, keep_alive: bool) -> Result<(), String> {
    let mode = Mode::transform(keep_alive);
    let start = Start {
        core: None,
        threads: 1,
        stats: None,
    };
    let text = |error: ProcessError| error.to_string();
    let launch = Launch {
        quiet: true,
        ..subject.launch(&mode, &start)?
    };
    let process = Process::start(&launch).map_err(text)?;
    match subject.kind {
        Kind::Bare => verify::good_transforms(process.address(), keep_alive)?,
        _ => verify::transforms(process.address(), keep_alive)?,
    }
    process.stop().map_err(text)?;
    Ok(())
}
