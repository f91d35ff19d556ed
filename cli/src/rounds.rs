//! `quatrain measure`: measures the models' transform servers in interleaved rounds, with the runner of `benches`.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufWriter, ErrorKind};
use std::path::Path;

use measure::load::Extent;
use measure::runner::{self, Options, Outcome, Progress, ROUNDS_MIN};
use measure::{Exchange, Pinning, Plan, Subject, report, verify};

use crate::args::MeasureArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::status_line::StatusLine;
use crate::words::counted;
use crate::{output, signals, table_layout, terminal};

/// Measures, and prints the report. If a subject does anything wrong, its row is void and the status is 1.
pub(crate) fn run(args: &MeasureArgs, stderr: &LineWriter) -> Ended {
    signals::unblock()?;
    let rows = args.rows.as_deref().map(create).transpose()?;
    let options = options(args)?;
    if let Some(warning) = few_rounds(args.rounds) {
        stderr.line(warning);
    }
    let status = StatusLine::new(stderr);
    let outcome = runner::run(
        &options,
        &mut |_, address| verify::transforms(address, options.plan.keep_alive),
        &mut |progress| show(&status, progress),
    );
    drop(status);
    let outcome = outcome.map_err(|error| failure(&cause(&error)))?;
    stderr.finish();
    if let Some(rows) = rows
        && let Err(error) = outcome.write_rows(BufWriter::new(rows))
    {
        let cause = cause(&error);
        Failure::trouble(format_args!("cannot write the rows: {cause}")).report(stderr);
    }
    let mut table = report::throughput(&outcome);
    table.notes.extend(few_rounds(args.rounds));
    match output::text(&table_layout::render(&table, terminal::stdout_columns())) {
        Ok(()) => Ok(verdict(&outcome)),
        Err(error) => Ok(output::report_failure(&error, stderr)),
    }
}

/// Returns a warning if `rounds` are too few to show a spread.
fn few_rounds(rounds: usize) -> Option<String> {
    let warning = || {
        let rounds = counted(rounds as u64, "round");
        format!("Only {rounds}: too few for a spread; use --rounds {ROUNDS_MIN} or more.")
    };
    (rounds < ROUNDS_MIN).then(warning)
}

fn verdict(outcome: &Outcome) -> Status {
    match outcome.rows.iter().all(|row| row.void.is_none()) {
        true => Status::Success,
        false => Status::Trouble,
    }
}

fn options(args: &MeasureArgs) -> Result<Options, Failure> {
    let program = std::env::current_exe().map_err(|error| failure(&cause(&error)))?;
    // The runner sets the address of each subject.
    let unset = ([127, 0, 0, 1], 0).into();
    let plan = Plan {
        connections: args.connections,
        depth: args.depth,
        keep_alive: !args.one_shot,
        exchange: Exchange::cummingsify(args.bytes).map_err(|cause| failure(&cause))?,
        extent: Extent::For {
            warm_up: args.warm_up.0,
            timed: args.duration.0,
        },
        ..Plan::new(unset).map_err(|error| failure(&error))?
    };
    let pinning = match args.unpinned {
        true => Pinning::NONE,
        false => Pinning::apart(),
    };
    let server = |model: &&dyn poetry::Model| server(&program, args, model.name());
    Ok(Options {
        subjects: args.models().iter().map(server).collect(),
        floor: floor(&program, args),
        rounds: args.rounds,
        plan,
        pinning,
        seed: args.seed.unwrap_or_else(random_seed),
        commit: args.commit.clone(),
    })
}

fn server(program: &Path, args: &MeasureArgs, model: &str) -> Subject {
    let threads = args.threads.to_string();
    let command = [
        "serve",
        "transform",
        "--model",
        model,
        "--threads",
        &threads,
    ];
    let quiet = ["--log", "error", "--stats", "{stats}"];
    let words = command.into_iter().chain(quiet).map(str::to_owned);
    Subject::new(model, program, words.chain(common(args)))
}

fn floor(program: &Path, args: &MeasureArgs) -> Subject {
    let words = ["floor".to_owned()].into_iter();
    Subject::new("floor", program, words.chain(common(args)))
}

/// Returns the arguments of every server.
fn common(args: &MeasureArgs) -> impl Iterator<Item = String> {
    let keep_alive = (!args.one_shot).then(|| "--keep-alive".to_owned());
    let parent = format!("--end-with-parent={}", std::process::id());
    keep_alive.into_iter().chain([parent])
}

/// Returns a seed that differs from run to run.
fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Creates the file for the raw rows. An existing file may hold the rows of another run, so it is never overwritten.
fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| {
        let (shown, cause) = (path.display(), cause(&error));
        let advice = match error.kind() {
            ErrorKind::AlreadyExists => "it is never overwritten; name a new file",
            _ => "name a file that can be written",
        };
        Failure::new(format_args!(
            "cannot write --rows {shown}: {cause}; {advice}"
        ))
    })
}

fn failure(cause: &dyn fmt::Display) -> Failure {
    Failure::new(format_args!("cannot measure: {cause}"))
}

fn show(status: &StatusLine, progress: &Progress<'_>) {
    match progress {
        Progress::Verifying(subject) => status.show(format_args!("verifying {}", subject.name)),
        Progress::Measured {
            row,
            of: (done, all),
        } => {
            status.show(format_args!("{done} of {all}: {}", row.subject));
        }
    }
}
