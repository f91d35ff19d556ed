//! `quatrain measure`: scenarios in interleaved rounds, with the runner of `benches`. This file has the order of the steps.

mod caller;
mod folder;
mod list;
mod subjects;
mod verify;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use measure::bundle;
use measure::report::Columns;
use measure::results::Results;
use measure::runner::{self, Options};
use measure::scenario::{Scenario, Setting};
use measure::statistics::ROUNDS_MIN;
use measure::{Pinning, Subject};

use crate::args::{MeasureArgs, random_seed};
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::words::{counted, shown};
use crate::{output, signals, terminal};

use self::caller::Caller;

/// Measures, keeps the results in a folder, and prints a table for each scenario. If a subject does anything wrong, its row is
/// void and the status is 1.
pub(crate) fn run(args: &MeasureArgs, stderr: &LineWriter) -> Ended {
    if args.list {
        let list = list::scenarios(terminal::stdout_columns());
        return Ok(output::last_text(&list, Status::Success, stderr));
    }
    let subjects = subjects::all(args)?;
    let before = args.baseline.as_ref();
    let before = before.map(crate::report::baseline).transpose()?;
    let interrupted = signals::note_interrupt(stderr)?;
    let (folder, bundle, resumed) = folder::take(args)?;
    let kept_seed = resumed.as_ref().and_then(seed_of);
    let seed = args.seed.or(kept_seed).unwrap_or_else(random_seed);
    let options = options(args, subjects, seed, stderr)?;
    if let Some(warning) = few_rounds(options.rounds) {
        stderr.line(warning);
    }
    let mut caller = Caller::new(bundle, seed, Arc::clone(&interrupted), stderr);
    let results = runner::run(&options, resumed, &mut caller);
    drop(caller);
    let results = results.map_err(|error| failed(&error, &folder))?;
    stderr.finish();
    let page = page(&folder);
    let where_it_is = match &page {
        Ok(page) => format!(
            "Report: {}\n{}",
            shown(page),
            crate::report::more_columns(&folder)
        ),
        Err(_) => String::new(),
    };
    let beside = before.map_or_else(String::new, |before| {
        format!("\n{}\n", crate::report::differences(&results, &before))
    });
    let printed = output::text(&(tables(&results, &options, &folder) + &where_it_is + &beside));
    page?;
    if let Err(error) = printed {
        return Ok(output::report_failure(&error, stderr));
    }
    match interrupted.get() {
        Some(&status) => Ok(after_interrupt(args, &folder, status).report(stderr)),
        None => Ok(verdict(&results)),
    }
}

fn options(
    args: &MeasureArgs,
    subjects: Vec<Subject>,
    seed: u64,
    stderr: &LineWriter,
) -> Result<Options, Failure> {
    let pinning = match args.unpinned {
        true => Pinning::NONE,
        false => Pinning::apart(),
    };
    let setting = Setting::new(args.extent(), pinning, args.threads.get(), seed)
        .map_err(|error| failure(&cause(&error)))?;
    let mut scenarios = args.scenarios();
    scenarios.retain(|scenario| {
        let name = scenario.about(args.extent()).name;
        let missing = scenario.needs().filter(|needed| !is_installed(needed));
        let Some(missing) = missing.filter(|_| !args.names(name)) else {
            return true;
        };
        stderr.line(format_args!("{name} is left out: it needs {missing}"));
        false
    });
    let with_command = |scenario: Box<dyn Scenario>| {
        let name = scenario.about(args.extent()).name;
        (scenario, args.command(seed, Some(name)))
    };
    Ok(Options {
        subjects,
        scenarios: scenarios.into_iter().map(with_command).collect(),
        rounds: args.rounds(),
        setting,
        commit: args.commit(),
        command: args.command(seed, None),
        tool: concat!("quatrain ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

/// Whether PATH finds `program`.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Returns a warning if `rounds` are too few to show a spread.
fn few_rounds(rounds: usize) -> Option<String> {
    let warning = || {
        let rounds = counted(rounds as u64, "round");
        format!("Only {rounds}: too few for a spread; use --rounds {ROUNDS_MIN} or more.")
    };
    (rounds < ROUNDS_MIN).then(warning)
}

fn seed_of(results: &Results) -> Option<u64> {
    Some(results.runs.last()?.environment.seed)
}

/// Writes the page beside the results, from what the folder keeps.
fn page(folder: &Path) -> Result<PathBuf, Failure> {
    let (results, histograms) = bundle::read(folder)
        .map_err(|error| Failure::trouble(format_args!("cannot write the report: {error}")))?;
    crate::report::write_page(folder, &results, &histograms)
}

/// Returns the tables of the scenarios that were measured, the environment, and where the results are.
fn tables(results: &Results, options: &Options, folder: &Path) -> String {
    let mut text = String::new();
    for scenario in results
        .scenarios
        .iter()
        .filter(|scenario| !scenario.rows.is_empty())
    {
        text += &crate::report::table(results, scenario, Columns::Main);
    }
    if let Some(run) = results.runs.last() {
        text += &format!("{}\n", run.environment);
    }
    text.extend(few_rounds(options.rounds).map(|warning| warning + "\n"));
    text + &format!("Results: {}\n", shown(folder))
}

fn verdict(results: &Results) -> Status {
    let mut rows = results.scenarios.iter().flat_map(|scenario| &scenario.rows);
    match rows.all(|row| row.void.is_none()) {
        true => Status::Success,
        false => Status::Trouble,
    }
}

fn after_interrupt(args: &MeasureArgs, folder: &Path, status: Status) -> Failure {
    let out = match &args.out {
        Some(out) => format!(" --out {}", shown(out)),
        None => String::new(),
    };
    let message = format!(
        "interrupted; {} keeps the rows up to here: repeat the command with --resume{out} to go on",
        shown(folder)
    );
    Failure::with_status(status, message)
}

fn failed(error: &std::io::Error, folder: &Path) -> Failure {
    match error.kind() {
        ErrorKind::InvalidInput => {
            let folder = shown(folder);
            failure(&format!("{error}, or name another folder than {folder}"))
        }
        _ => Failure::trouble(format_args!("cannot keep the results: {}", cause(error))),
    }
}

fn failure(cause: &dyn fmt::Display) -> Failure {
    Failure::new(format_args!("cannot measure: {cause}"))
}
