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

/// Returns in a few words what happened, without what differs from run to run. A server that has ended explains all else.
fn evidence(case: &FaultCase, why: &str) -> String {
    const ENDED: &str = "the server had ended, ";
    const HAPPENED: &[(&[&str], &str)] = &[
        (
            &["the bytes of a waiting client"],
            "clients got the bytes of the bad poem",
        ),
        (
            &["the replies before the panic"],
            "the replies before the panic were lost",
        ),
        (&["what was in flight"], "what was in flight was lost"),
        (
            &["the exit status: expected", "ended by itself"],
            "the signal ended it at once",
        ),
        (
            &["connecting: connection timed out"],
            "a client could not connect",
        ),
        (&["saw FIN"], "a client that stopped reading was not reset"),
        (
            &["closed by FIN", "got FIN"],
            "a client saw FIN instead of an answer",
        ),
        (
            &["got RST", "Connection reset", "is not connected"],
            "a client was reset",
        ),
        (
            &[
                "nothing for",
                "temporarily unavailable",
                "did not end within",
            ],
            "a client waited for ever",
        ),
        (&["got 0 bytes"], "a client got no answer"),
        (&["stays open"], "the connection stays open for ever"),
    ];
    if let Some((_, end)) = why.rsplit_once(ENDED) {
        return format!("ended: {}", reason(end));
    }
    if let Some(mebibytes) = cost(why) {
        return format!("a client costs {mebibytes} MiB");
    }
    let fits = |words: &&[&str]| words.iter().any(|word| why.contains(word));
    match HAPPENED.iter().find(|(words, _)| fits(words)) {
        Some((_, happened)) => (*happened).to_owned(),
        None => {
            let rules = format!("{}: ", case.rules.join(", "));
            why.trim_start_matches(&rules).replace(" (seed 0)", "")
        }
    }
}

/// Returns why a server ended, from its exit status and its last words.
fn reason(end: &str) -> &'static str {
    const REASONS: &[(&str, &str)] = &[
        ("Too many open files", "too many open files"),
        ("spawn", "no thread"),
        ("Address already in use", "the port was in use"),
        ("signal: ", "the signal ended it at once"),
        ("exit status: 101", "a panic"),
        ("no reactor running", "a panic"),
    ];
    let known = REASONS.iter().find(|(words, _)| end.contains(words));
    known.map_or("an error", |(_, reason)| reason)
}

/// Returns the cost of a client in MiB, if the failure is that it is too high, and at least 1 MiB.
fn cost(why: &str) -> Option<u64> {
    let (_, cost) = why.rsplit_once("costs ")?;
    let kibibytes: u64 = cost.split(" KiB").next()?.parse().ok()?;
    Some((kibibytes + 512) >> 10).filter(|&mebibytes| mebibytes > 0)
}
