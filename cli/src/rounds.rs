//! `quatrain measure`: the models' transform servers in interleaved rounds, by the runner of `benches`.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::BufWriter;
use std::path::Path;

use measure::load::Extent;
use measure::runner::{self, Options, Outcome, Progress};
use measure::{Exchange, Pinning, Plan, Subject, report, verify};

use crate::args::MeasureArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::lossy::Lossy;
use crate::output;
use crate::status::StatusLine;

/// Measures, and prints the report. A subject that does anything wrong is void, and the status 1.
pub(crate) fn run(args: &MeasureArgs, stderr: &Lossy) -> Ended {
    let rows = args.rows.as_deref().map(create).transpose()?;
    let options = options(args)?;
    let status = StatusLine::new(stderr);
    let outcome = runner::run(
        &options,
        &mut |_, address| verify::transforms(address, options.plan.keep_alive),
        &mut |progress| say(&status, progress),
    );
    drop(status);
    let outcome = outcome.map_err(|error| cannot(&cause(&error)))?;
    stderr.finish();
    if let Some(rows) = rows
        && let Err(error) = outcome.write_rows(BufWriter::new(rows))
    {
        let cause = cause(&error);
        Failure::trouble(format_args!("cannot write the rows: {cause}")).say(stderr);
    }
    match output::text(&format!("{}\n", report::throughput(&outcome))) {
        Ok(()) => Ok(verdict(&outcome)),
        Err(error) => Ok(output::failed(&error, stderr)),
    }
}

fn verdict(outcome: &Outcome) -> Status {
    match outcome.rows.iter().all(|row| row.void.is_none()) {
        true => Status::Fine,
        false => Status::Trouble,
    }
}

fn options(args: &MeasureArgs) -> Result<Options, Failure> {
    let program = std::env::current_exe().map_err(|error| cannot(&cause(&error)))?;
    let nowhere = ([127, 0, 0, 1], 0).into();
    let plan = Plan {
        connections: args.connections,
        depth: args.depth,
        keep_alive: !args.one_shot,
        exchange: Exchange::cummingsify(args.bytes).map_err(|cause| cannot(&cause))?,
        extent: Extent::For {
            warm_up: args.warm_up.0,
            timed: args.duration.0,
        },
        ..Plan::new(nowhere).map_err(|error| cannot(&error))?
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
        seed: args.seed.unwrap_or_else(any_seed),
        commit: args.commit.clone(),
    })
}

fn server(program: &Path, args: &MeasureArgs, model: &str) -> Subject {
    let threads = args.threads.to_string();
    let what = [
        "serve",
        "transform",
        "--model",
        model,
        "--threads",
        &threads,
    ];
    let said = ["--log", "error", "--stats", "{stats}"];
    let words = what.into_iter().chain(said).map(str::to_owned);
    Subject::new(model, program, words.chain(common(args)))
}

fn floor(program: &Path, args: &MeasureArgs) -> Subject {
    let words = ["floor".to_owned()].into_iter();
    Subject::new("floor", program, words.chain(common(args)))
}

/// What every server is told.
fn common(args: &MeasureArgs) -> impl Iterator<Item = String> {
    let keep_alive = (!args.one_shot).then(|| "--keep-alive".to_owned());
    let parent = format!("--end-with-parent={}", std::process::id());
    keep_alive.into_iter().chain([parent])
}

/// A seed that is another each time.
fn any_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| {
        let (shown, cause) = (path.display(), cause(&error));
        Failure::new(format_args!(
            "cannot write --rows {shown}: {cause}; name a file that can be written"
        ))
    })
}

fn cannot(cause: &dyn fmt::Display) -> Failure {
    Failure::new(format_args!("cannot measure: {cause}"))
}

fn say(status: &StatusLine, progress: &Progress<'_>) {
    match progress {
        Progress::Verifying(subject) => status.say(format_args!("verifying {}", subject.name)),
        Progress::Measured {
            row,
            of: (done, all),
        } => {
            status.say(format_args!("{done} of {all}: {}", row.subject));
        }
    }
}
