//! The smoke cases alone: the fifth model passes them in every role, and its coarse flaws do not.

use std::sync::Arc;

use conformance::{Role, Subject, check};
use libtest_mimic::{Failed, Trial};

use crate::flaw::Flaw;
use crate::{FIFTH, Fifth, command, common, subject};

const ROLES: [Role; 6] = [
    Role::PoemServer,
    Role::PoemClient,
    Role::TransformServer,
    Role::TransformClient,
    Role::LibraryServer,
    Role::Proxy,
];

/// Flaws that nobody may measure, and the role in which the smoke cases must catch each of them.
const COARSE: &[(Role, &[Flaw])] = &[
    (
        Role::PoemServer,
        &[
            Flaw::ClosesAtOnce,
            Flaw::ResetsAtOnce,
            Flaw::CutsTheEnd,
            Flaw::DropsLastChunk,
            Flaw::TreatsFinAsDisconnect,
            Flaw::ServesOneAtATime,
        ],
    ),
    (
        Role::TransformServer,
        &[
            Flaw::ClosesAtOnce,
            Flaw::ResetsAtOnce,
            Flaw::CutsTheEnd,
            Flaw::RefusesAll,
            Flaw::NeverCloses,
            Flaw::MergesReplies,
            Flaw::AnswersAllInOneShot,
            Flaw::AnswersUnknownTransforms,
            Flaw::DropsPartialRequests,
            Flaw::IgnoresFrameLimit,
            Flaw::ClosesWithoutLingering,
            Flaw::ServesOneAtATime,
        ],
    ),
    (
        Role::LibraryServer,
        &[
            Flaw::ClosesAtOnce,
            Flaw::ResetsAtOnce,
            Flaw::CutsTheEnd,
            Flaw::RefusesAll,
            Flaw::NeverCloses,
            Flaw::MergesReplies,
            Flaw::AnswersUnknownPoems,
            Flaw::FindsPoemsByPath,
        ],
    ),
    (
        Role::Proxy,
        &[
            Flaw::ClosesAtOnce,
            Flaw::ResetsAtOnce,
            Flaw::CutsTheEnd,
            Flaw::NeverCaches,
            Flaw::FetchesForEach,
            Flaw::CachesEmptyPoems,
            Flaw::IgnoresTimeToLive,
        ],
    ),
    (
        Role::PoemClient,
        &[
            Flaw::FailsAlways,
            Flaw::SucceedsAlways,
            Flaw::FetchesSequentially,
            Flaw::ReturnsInArrivalOrder,
            Flaw::DecodesEachRead,
            Flaw::TreatsResetAsEnd,
            Flaw::TakesCutReplies,
        ],
    ),
    (
        Role::TransformClient,
        &[
            Flaw::AltersTransforms,
            Flaw::FailsPoemWithTransform,
            Flaw::TransformsAfterAllPoems,
        ],
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for role in ROLES {
        let name = format!("smoke::{}::the_fifth_model_passes", role.name());
        trials.push(Trial::test(name, move || Ok(verify(&FIFTH, role)?)));
    }
    for &(role, flaws) in COARSE {
        for &flaw in flaws {
            let name = format!("smoke::{}::catches::{flaw:?}", role.name());
            trials.push(Trial::test(name, move || expect_caught(role, flaw)));
        }
    }
    for role in [Role::PoemServer, Role::TransformServer] {
        let name = format!("smoke::{}::a_command_of_few_features_passes", role.name());
        trials.push(Trial::test(name, move || {
            let command = Arc::new(Subject::Command(command::subject()));
            Ok(check::verify(&command, role, common::seed())?)
        }));
    }
    trials
}

fn verify(model: &'static Fifth, role: Role) -> Result<(), String> {
    check::verify(&subject(model), role, common::seed())
}

/// Expects that a smoke case fails, and that the message names its role.
fn expect_caught(role: Role, flaw: Flaw) -> Result<(), Failed> {
    let flawed: &'static Fifth = Box::leak(Box::new(Fifth(flaw)));
    match verify(flawed, role) {
        Err(problem) if problem.starts_with(role.name()) => Ok(()),
        other => Err(format!("expected a failed case of {}, got {other:?}", role.name()).into()),
    }
}
