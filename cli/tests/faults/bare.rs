//! Bare servers: written the obvious way, they need not pass. What happens to them goes to the page as evidence.
//!
//! With `QUATRAIN_BARE=1` every case also runs against each kind of the crate `bare`. This program itself becomes the server: it is
//! started once more with other arguments.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Bare, FaultCase, Page, Program, Verdict, note};
use libtest_mimic::{Completion, Trial};

/// The first argument with which this program becomes a bare server.
const SERVE: &str = "serve-bare";

/// Serves as the arguments say, if they begin with [`SERVE`], until an error ends the server.
pub(super) fn serve() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next()? != SERVE {
        return None;
    }
    Some(match bare::command::run(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Returns a program for each kind of bare server.
pub(super) fn programs() -> Vec<Arc<Program>> {
    /// A bare server that does nothing for so long will not do it later either.
    const PATIENCE: Duration = Duration::from_secs(8);
    if std::env::var_os("QUATRAIN_BARE").is_none() {
        return Vec::new();
    }
    let own = std::env::current_exe().expect("the path of this program");
    let own = own.to_str().expect("a path in UTF-8");
    let program = |kind: bare::Kind| {
        let words = [own, SERVE, kind.name(), "{mode}", "{listen}", "{limits}"];
        let serve = words.map(str::to_owned).to_vec();
        Arc::new(Program::new(kind.name(), serve).with_patience(PATIENCE))
    };
    bare::Kind::ALL.into_iter().map(program).collect()
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
            Verdict::Failed(why) => Bare::Failed(evidence(&case, &why)),
        };
        note(&page, |page| page.fare(&case, program.name(), bare));
        Ok(Completion::Completed)
    })
}

/// Returns a failure without the rules and the seed, which the page has or does not need.
fn evidence(case: &FaultCase, why: &str) -> String {
    let rules = format!("{}: ", case.rules.join(", "));
    why.trim_start_matches(&rules).replace(" (seed 0)", "")
}
