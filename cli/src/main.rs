//! The `quatrain` command: serves and fetches poems with any of the four models, and compares them.
//!
//! This file says what happens in which order; what a program does, and how, is the business of the models.

mod args;
mod bars;
mod compare;
mod descriptors;
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
    descriptors::prepare(cli.command.connections());
    match cli.command {
        Command::Serve(args) => serve::run(args, stderr),
        Command::Fetch(args) => fetch::run(args, stderr),
        Command::Compare(args) => compare::run(&args, stderr),
        Command::Load(args) => load::run(&args, stderr),
        Command::Floor(args) => load::floor(&args),
        Command::Measure(args) => rounds::run(&args, stderr),
    }
}
