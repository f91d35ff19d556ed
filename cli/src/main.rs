//! The `quatrain` command: serves and fetches poems with any of the four models, and compares them.
//!
//! This file says what happens in which order; what a program does, and how, is the business of the models.

mod args;
mod bars;
mod compare;
mod failure;
mod fetch;
mod load;
mod log;
mod lossy;
mod output;
mod parent;
mod progress;
mod resolve;
mod rounds;
mod serve;
mod signals;
mod stats;
mod status;
mod throttle;

use std::process::ExitCode;

use args::{Cli, Command};
use failure::Ended;
use lossy::Lossy;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poetry::panics;

fn main() -> ExitCode {
    panics::silence_contained();
    let stderr = Lossy::stderr();
    let status = match Cli::read(&stderr) {
        Ok(cli) => run(cli, &stderr).unwrap_or_else(|failure| failure.say(&stderr)),
        Err(status) => status,
    };
    stderr.finish();
    status.into()
}

fn run(cli: Cli, stderr: &Lossy) -> Ended {
    log::start(&cli.log, stderr)?;
    raise_descriptor_limit();
    match cli.command {
        Command::Serve(args) => serve::run(args, stderr),
        Command::Fetch(args) => fetch::run(args, stderr),
        Command::Compare(args) => compare::run(&args, stderr),
        Command::Load(args) => load::run(&args, stderr),
        Command::Floor(args) => load::floor(&args),
        Command::Measure(args) => rounds::run(&args, stderr),
    }
}

/// Raises the soft limit on descriptors to the hard one (S17). Without it the programs still run, with fewer
/// connections.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!("the limit on descriptors stays as it is: {error}");
    }
}
