//! `quatrain load` and `quatrain floor`: the load generator and the floor server of `benches`.

mod histogram_file;
mod idle;
mod json;
mod live;
mod merge;
mod plan;
mod text;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use measure::Plan;
use measure::floor::Floor;
use measure::load::{self, LoadError, Mark, Report};
use measure::process::{Usage, usage_of, with_affinity};
use nix::errno::Errno;

use crate::args::{Address, FloorArgs, LoadArgs, LoadCommand, LoadOptions};
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::{hints, output, parent, serve, signals};

use self::histogram_file::HistogramFile;
use self::live::Live;

/// A load on one server.
struct Load<'a> {
    role: Role,
    options: &'a LoadOptions,
    /// What is requested, for people.
    request: String,
    /// The same for the mix's other exchange.
    other: Option<String>,
    plan: Plan,
}

/// The roles that are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A transform server.
    Transform {
        /// Each connection carries one request.
        one_shot: bool,
        /// A transform of the laboratory is requested.
        lab: bool,
    },
    /// A library server.
    Library {
        /// Each connection carries one request.
        one_shot: bool,
    },
    /// A poem server or a proxy.
    Poem,
}

/// The result of a load.
struct Loaded {
    report: Report,
    /// The cost to the server's process, if that was given.
    server: Option<ServerCost>,
}

/// What the window cost the server, as far as the system says.
struct ServerCost {
    begin: Usage,
    end: Usage,
}

/// Loads a server and prints the figures. A wrong byte is an error: then there are no figures.
pub(crate) fn run(args: &LoadArgs, stderr: &LineWriter) -> Ended {
    signals::unblock()?;
    // Planning may fetch a slow poem.
    let histogram = histogram(&args.command).map(HistogramFile::create);
    let histogram = histogram.transpose()?;
    let load = match &args.command {
        LoadCommand::Transform(args) => plan::transform(args)?,
        LoadCommand::Library(args) => plan::library(args)?,
        LoadCommand::Poem(args) => plan::poem(args)?,
        LoadCommand::Idle(args) => return idle::run(args, stderr),
        LoadCommand::Merge(args) => return merge::run(args, stderr),
    };
    let live = Live::start(&load, stderr)?;
    let result = measure(&load, &live);
    let interrupted = live.end();
    let loaded = match result {
        Ok(loaded) if loaded.report.ledger.connections > 0 || interrupted.is_some() => loaded,
        // A fixed number of requests is used up by connections that fail.
        Ok(_) => return Err(failed(&load, &LoadError::NoConnection(refused()))),
        Err(error) => return Err(error),
    };
    if let Some(file) = histogram {
        file.keep(&load, &loaded.report)?;
    }
    let text = match load.options.json {
        true => json::render(&load, &loaded),
        false => text::render(&load, &loaded),
    };
    let status = interrupted.unwrap_or(Status::Success);
    Ok(output::last_text(&text, status, stderr))
}

/// Returns the file for the histograms of a load, if there is to be one.
fn histogram(command: &LoadCommand) -> Option<&Path> {
    let options = match command {
        LoadCommand::Transform(args) => &args.load,
        LoadCommand::Library(args) => &args.load,
        LoadCommand::Poem(args) => &args.load,
        LoadCommand::Idle(_) | LoadCommand::Merge(_) => return None,
    };
    options.histogram.as_deref()
}

/// Runs the load, pinned if that is wanted.
fn measure(load: &Load<'_>, live: &Live) -> Result<Loaded, Failure> {
    let pid = load.options.pid;
    let mut usage = (Usage::default(), Usage::default());
    let mut mark = |mark| {
        let now = pid.map(usage_of).unwrap_or_default();
        match mark {
            Mark::Begin { .. } => usage.0 = now,
            Mark::End { .. } => usage.1 = now,
        }
    };
    let run = || live.watch(|watch| load::run_watched(&load.plan, &mut mark, watch));
    let core = load.options.core;
    let report = with_affinity(core, run).map_err(|error| {
        let (core, cause) = (core.unwrap_or_default(), cause(&error));
        Failure::new(format_args!("cannot pin to core {core}: {cause}"))
    })?;
    let report = report.map_err(|error| failed(load, &error))?;
    let server = pid.map(|_| ServerCost {
        begin: usage.0,
        end: usage.1,
    });
    Ok(Loaded { report, server })
}

/// Why a load on the server of `load` failed.
fn failed(load: &Load<'_>, error: &LoadError) -> Failure {
    let address = &load.options.address;
    trouble(address, error, hints::after_load(address, error, load.role))
}

/// Why the load on `address` cannot begin.
fn cannot_begin(address: &Address, cause: impl fmt::Display) -> Failure {
    Failure::new(format_args!("cannot load {address}: {cause}"))
}

/// Why the load on `address` failed, and what to try.
fn trouble(address: &Address, error: &LoadError, hint: Option<String>) -> Failure {
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    Failure::trouble(format_args!("cannot load {address}: {error}{hint}"))
}

fn refused() -> io::Error {
    Errno::ECONNREFUSED.into()
}

/// Serves transforms at the least possible cost, until a signal ends the process.
pub(crate) fn floor(args: &FloorArgs) -> Ended {
    signals::unblock()?;
    if let Some(parent) = args.end_with_parent {
        parent::end_with(parent);
    }
    let address = SocketAddr::new(args.iface, args.port);
    let failure = |error: &std::io::Error| {
        let cause = cause(error);
        Failure::new(format_args!("cannot serve the floor on {address}: {cause}"))
    };
    let listener = models::listen(address).map_err(|error| failure(&error))?;
    let floor = Floor::new(listener, args.keep_alive).map_err(|error| failure(&error))?;
    let address = floor.address().map_err(|error| failure(&error))?;
    serve::announce(b"transforms", address, "floor");
    match floor.run() {
        Ok(never) => match never {},
        Err(error) => Err(failure(&error)),
    }
}
