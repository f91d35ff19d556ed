//! Bare servers: written the obvious way, they need not pass. What happens to them goes to the page as evidence.
//!
//! `QUATRAIN_BARE` names a command. `PROGRAM kinds` prints the names of its kinds, one a line, and `PROGRAM KIND {mode}
//! {listen}` serves like `quatrain serve` and prints the same `Serving` line. A server that does not know an option, or a mode,
//! ends with a status other than 0 before that line: the case is then skipped.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Bare, FaultCase, Page, Program, Verdict, note};
use libtest_mimic::{Completion, Trial};

/// Returns a program for each kind of bare server.
pub(super) fn programs() -> Vec<Arc<Program>> {
    /// A bare server that does nothing for so long will not do it later either.
    const PATIENCE: Duration = Duration::from_secs(8);
    let Ok(command) = std::env::var("QUATRAIN_BARE") else {
        return Vec::new();
    };
    let printed = Command::new(&command)
        .arg("kinds")
        .output()
        .expect("the kinds of bare servers");
    let kinds = String::from_utf8_lossy(&printed.stdout).into_owned();
    let program = |kind: &str| {
        let words = [&command, kind, "{mode}", "{listen}", "{limits}"];
        let serve = words.map(str::to_owned).to_vec();
        Arc::new(Program::new(kind, serve).with_patience(PATIENCE))
    };
    kinds.split_whitespace().map(program).collect()
}

/// Returns the test that runs `case` against the bare server `program`. It never fails; the page says how the server fared.
pub(super) fn trial(
    case: FaultCase,
    program: &Arc<Program>,
    page: &Arc<Mutex<Page>>,
    asked: bool,
) -> Trial {
    let (program, page) = (Arc::clone(program), Arc::clone(page));
    let name = format!("bare::{}::{}", program.name(), case.path());
    Trial::ignorable_test(name, move || {
        if let Some(lacking) = case.lacks(asked) {
            return Ok(Completion::ignored_with(format!("needs {lacking}")));
        }
        let bare = match case.test(&program).0 {
            Verdict::Skipped(why) => {
                return Ok(Completion::ignored_with(format!("skipped: {why}")));
            }
            Verdict::Passed => Bare::Passed,
            Verdict::Failed(why) => Bare::Failed(why),
        };
        note(&page, |page| page.fare(&case, program.name(), bare));
        Ok(Completion::Completed)
    })
}
