//! The `quatrain` command: serves and fetches poems with any of the four models, and compares them.
//!
//! This file dispatches to the subcommands. The models do the work.

mod args;
mod ask;
mod bare;
mod check;
mod closed_stdout;
mod compare;
mod config;
mod descriptors;
mod failure;
mod fetch;
mod generate;
mod hints;
mod inquiries;
mod limits_in_force;
mod line_writer;
mod load;
mod log;
mod measure;
mod metrics;
mod observe;
mod output;
mod parent;
mod passed_sockets;
mod poem_directory;
mod poem_file;
mod progress;
mod recording;
mod report;
mod resolve;
mod serve;
mod service_manager;
mod services;
mod show;
mod signals;
mod sink_file;
mod stats;
mod status_line;
mod table_layout;
mod terminal;
mod throttle;
mod timeline;
mod words;

use std::process::ExitCode;

use args::{Cli, Command};
use failure::Ended;
use line_writer::LineWriter;
use poetry::panics;

fn main() -> ExitCode {
    panics::silence_contained();
    let stderr = LineWriter::stderr();
    let status = match Cli::read(&stderr) {
        Ok(cli) => run(cli, &stderr).unwrap_or_else(|failure| failure.report(&stderr)),
        Err(status) => status,
    };
    stderr.finish();
    status.into()
}

fn run(cli: Cli, stderr: &LineWriter) -> Ended {
    log::start(&cli.log, cli.log_format, stderr)?;
    descriptors::prepare(cli.command.connections());
    match cli.command {
        Command::Serve(args) => serve::run(args, stderr),
        Command::Config(args) => config::run(&args, stderr),
        Command::Fetch(args) => fetch::run(args, stderr),
        Command::Compare(args) => compare::run(&args, stderr),
        Command::Check(args) => check::run(&args, stderr),
        Command::Load(args) => load::run(&args, stderr),
        Command::Floor(args) => load::floor(&args),
        Command::Report(args) => report::run(&args, stderr),
        Command::Show(args) => show::run(&args, stderr),
        Command::Timeline(args) => timeline::run(&args, stderr),
        Command::Stats(args) => ask::run(&args, stderr),
        Command::Generate(args) => generate::run(&args, stderr),
        Command::Measure(args) => measure::run(&args, stderr),
        Command::Bare(args) => bare::run(args),
    }
}
