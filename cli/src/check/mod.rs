//! `quatrain check`: runs the conformance cases of one role against a command or a server that runs already.

mod report;
mod subject;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use conformance::check::{self, Tested};
use conformance::{Case, Subject, cases};

use crate::args::CheckArgs;
use crate::failure::{Ended, Failure, Status};
use crate::line_writer::LineWriter;
use crate::{output, signals};
use report::Report;

/// Runs the chosen cases and prints each verdict as it comes.
pub(crate) fn run(args: &CheckArgs, stderr: &LineWriter) -> Ended {
    let cases = chosen(args)?;
    if args.list {
        let list = report::list(&cases, args.json);
        return Ok(output::last_text(&list, Status::Success, stderr));
    }
    let interrupted = signals::note_interrupt(stderr)?;
    let subject = subject::of(args)?;
    let mut report = Report::new(args.json, args.seed);
    let printed = report_all(&subject, &cases, args, &interrupted, &mut report);
    if let Some(error) = printed.err() {
        return Ok(output::report_failure(&error, stderr));
    }
    match interrupted.get() {
        Some(&status) => Ok(status),
        None => report.status(&subject::name(args)),
    }
}

/// Runs `cases` until an interrupt: what a signal does to the servers under test is not their fault.
fn report_all(
    subject: &Arc<Subject>,
    cases: &[Case],
    args: &CheckArgs,
    interrupted: &OnceLock<Status>,
    report: &mut Report,
) -> std::io::Result<()> {
    let begun = Instant::now();
    let mut printed = Ok(());
    check::run(subject, cases, args.seed, |tested: Tested| {
        if interrupted.get().is_none() && printed.is_ok() {
            printed = output::text(&report.add(&tested));
        }
        interrupted.get().is_none() && printed.is_ok()
    });
    printed?;
    output::text(&report.end(begun.elapsed()))
}

/// Returns the cases of the role that the options choose.
///
/// # Errors
/// There is none.
fn chosen(args: &CheckArgs) -> Result<Vec<Case>, Failure> {
    let role = args.program.role();
    let matches = |case: &Case| {
        let mut filters = args.filters.iter();
        args.filters.is_empty() || filters.any(|filter| case.path().contains(filter.as_str()))
    };
    let mut cases = cases::all();
    cases.retain(|case| case.role == role && (case.smoke || !args.smoke) && matches(case));
    match cases.is_empty() {
        false => Ok(cases),
        true => {
            let kind = if args.smoke { "smoke case" } else { "case" };
            let (program, filters) = (args.program.name(), args.filters.join("' or '"));
            Err(Failure::new(format_args!(
                "cannot check: no {kind} of a {program} contains '{filters}'; --list shows the names"
            )))
        }
    }
}
