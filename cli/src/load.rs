//! `quatrain load` and `quatrain floor`: the load generator and the floor server of `benches`.

use std::io;
use std::net::SocketAddr;

use measure::floor::Floor;
use measure::load::{self, Extent, LoadError, Report};
use measure::{Exchange, Plan};
use nix::errno::Errno;
use poetry::limits::CONNECT_TIMEOUT;

use crate::args::{FloorArgs, LoadArgs};
use crate::failure::{Ended, Failure, Status, cause, without_number};
use crate::line_writer::LineWriter;
use crate::words::counted;
use crate::{hints, output, parent, poem_file, resolve, serve, signals};

/// Loads a transform server and prints the figures. A wrong byte is an error: then there are no figures.
pub(crate) fn run(args: &LoadArgs, stderr: &LineWriter) -> Ended {
    signals::unblock()?;
    let plan = plan(args)?;
    let report = match load::run(&plan) {
        Ok(report) if report.ledger.connections > 0 => report,
        // A fixed number of requests is used up by connections that fail.
        Ok(_) => return Ok(failure(args, &LoadError::NoConnection(refused())).report(stderr)),
        Err(error) => return Ok(failure(args, &error).report(stderr)),
    };
    match output::text(&words(&report, &plan)) {
        Ok(()) => Ok(Status::Success),
        Err(error) => Ok(output::report_failure(&error, stderr)),
    }
}

fn failure(args: &LoadArgs, error: &LoadError) -> Failure {
    let hint = hints::after_load(&args.address, error, args.one_shot);
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    let error = without_number(&error.to_string());
    Failure::trouble(format_args!("cannot load {}: {error}{hint}", args.address))
}

fn refused() -> io::Error {
    Errno::ECONNREFUSED.into()
}

fn plan(args: &LoadArgs) -> Result<Plan, Failure> {
    let failure = |cause: &dyn std::fmt::Display| {
        Failure::new(format_args!("cannot load {}: {cause}", args.address))
    };
    let exchange = match &args.poem {
        Some(path) => Exchange::transform(&args.transform, poem_file::read(path)?.as_str()),
        None => Exchange::transform(&args.transform, &measure::exchange::poem(args.bytes)),
    };
    let extent = match args.requests {
        Some(requests) => Extent::Requests(requests.get() as u64),
        None => Extent::For {
            warm_up: args.warm_up.0,
            timed: args.duration.0,
        },
    };
    let address =
        resolve::first(&args.address, CONNECT_TIMEOUT).map_err(|cause| failure(&cause))?;
    let default = Plan::new(address).map_err(|error| failure(&error))?;
    Ok(Plan {
        connections: args.connections,
        depth: args.depth,
        keep_alive: !args.one_shot,
        exchange: exchange.map_err(|cause| failure(&cause))?,
        extent,
        ..default
    })
}

fn words(report: &Report, plan: &Plan) -> String {
    let ledger = &report.ledger;
    format!(
        "{:.0} requests/s: {} in {:.3} s after {:.3} s of warm-up, on {}, {} deep\n\
         first reply after {:.3} ms, {} failed\n\
         in all {}, {}, {} verified, {} sent, {} received\n",
        report.rate(),
        counted(report.answered, "reply"),
        report.elapsed.as_secs_f64(),
        report.warm_up.as_secs_f64(),
        counted(plan.connections as u64, "connection"),
        plan.depth,
        report.first_reply.as_secs_f64() * 1e3,
        counted(report.connect_errors, "connection"),
        counted(ledger.connections, "connection"),
        counted(ledger.requests, "request"),
        counted(ledger.answered, "reply"),
        counted(ledger.bytes_out, "byte"),
        counted(ledger.bytes_in, "byte"),
    )
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
