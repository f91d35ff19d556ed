//! `quatrain load` and `quatrain floor`: the load generator and the floor server of `benches`, as they are.

use std::net::SocketAddr;

use measure::floor::Floor;
use measure::load::{self, Extent, Report};
use measure::{Exchange, Plan};
use poetry::limits::CONNECT_TIMEOUT;

use crate::args::{FloorArgs, LoadArgs};
use crate::failure::{Ended, Failure, Status, cause};
use crate::lossy::Lossy;
use crate::{output, parent, resolve, serve};

/// Loads a transform server and prints what came of it. A wrong byte is an error, not a figure.
pub(crate) fn run(args: &LoadArgs, stderr: &Lossy) -> Ended {
    let plan = plan(args)?;
    let report = match load::run(&plan) {
        Ok(report) => report,
        Err(error) => {
            let failure = Failure::trouble(format_args!("load on {}: {error}", args.address));
            return Ok(failure.say(stderr));
        }
    };
    match output::text(&words(&report, &plan)) {
        Ok(()) => Ok(Status::Fine),
        Err(error) => Ok(output::failed(&error, stderr)),
    }
}

fn plan(args: &LoadArgs) -> Result<Plan, Failure> {
    let wrong = |cause: &dyn std::fmt::Display| {
        Failure::new(format_args!("cannot load {}: {cause}", args.address))
    };
    let exchange = match &args.poem {
        Some(path) => Exchange::transform(&args.transform, serve::read_poem(path)?.as_str()),
        None => Exchange::transform(&args.transform, &measure::exchange::poem(args.bytes)),
    };
    let extent = match args.requests {
        Some(requests) => Extent::Requests(requests.get() as u64),
        None => Extent::For {
            warm_up: args.warm_up.0,
            timed: args.duration.0,
        },
    };
    let address = resolve::first(&args.address, CONNECT_TIMEOUT).map_err(|cause| wrong(&cause))?;
    let default = Plan::new(address).map_err(|error| wrong(&error))?;
    Ok(Plan {
        connections: args.connections,
        depth: args.depth,
        keep_alive: !args.one_shot,
        exchange: exchange.map_err(|cause| wrong(&cause))?,
        extent,
        ..default
    })
}

fn words(report: &Report, plan: &Plan) -> String {
    let ledger = &report.ledger;
    format!(
        "{:.0} requests/s: {} replies in {:.3} s after {:.3} s of warm-up, on {} connections, {} deep\n\
         first reply after {:.3} ms, {} connections could not be made\n\
         in all {} connections, {} requests, {} replies verified, {} bytes sent, {} bytes received\n",
        report.rate(),
        report.answered,
        report.elapsed.as_secs_f64(),
        report.warm_up.as_secs_f64(),
        plan.connections,
        plan.depth,
        report.first_reply.as_secs_f64() * 1e3,
        report.connect_errors,
        ledger.connections,
        ledger.requests,
        ledger.answered,
        ledger.bytes_out,
        ledger.bytes_in,
    )
}

/// Serves transforms without any care, until it is killed.
pub(crate) fn floor(args: &FloorArgs) -> Ended {
    if let Some(parent) = args.end_with_parent {
        parent::end_with(parent);
    }
    let address = SocketAddr::new(args.iface, args.port);
    let cannot = |error: &std::io::Error| {
        Failure::new(format_args!(
            "cannot serve the floor on {address}: {}",
            cause(error)
        ))
    };
    let listener = models::listen(address).map_err(|error| cannot(&error))?;
    let floor = Floor::new(listener, args.keep_alive).map_err(|error| cannot(&error))?;
    let address = floor.address().map_err(|error| cannot(&error))?;
    serve::announce(b"transforms", address, "floor");
    match floor.run() {
        Ok(never) => match never {},
        Err(error) => Err(cannot(&error)),
    }
}
