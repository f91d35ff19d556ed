//! `quatrain serve`: starts a server, prints where it listens, and does what signals request (S21, S23).

mod announcement;
mod offer;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{Counts, Model, Observer, Options, Server, Service};
use serde::Serialize;
use tracing::{error, info, warn};

use crate::args::{ServeArgs, ServeCommand, ServerArgs};
use crate::failure::{Ended, Failure, Status, cause, cause_at_start, is_short_of_threads};
use crate::limits_in_force;
use crate::line_writer::LineWriter;
use crate::log::ServerLog;
use crate::metrics::Metrics;
use crate::observe::Observation;
use crate::parent;
use crate::passed_sockets::PassedSockets;
use crate::poem_directory::Reloads;
use crate::recording::Recording;
use crate::resolve;
use crate::service_manager;
use crate::services;
use crate::signals::{self, Request, Requests};
use crate::stats::{self, ServiceCounts, Stats};

pub(crate) use self::announcement::announce;
pub(crate) use self::offer::{Chosen, Offer};

/// Runs a server, or the services of a file, until a signal ends it.
pub(crate) fn run(args: ServeArgs, stderr: &LineWriter) -> Ended {
    let sockets = PassedSockets::take_over()?;
    match (args.command, args.config) {
        (Some(command), _) => run_one(&command, &sockets, stderr),
        (None, Some(file)) => {
            let (stats, metrics) = (args.stats.as_deref(), args.metrics.as_ref());
            services::run(&file, stats, metrics, sockets, stderr)
        }
        (None, None) => Err(Failure::new(
            "serve needs what to serve, or --config; see 'quatrain serve --help'",
        )),
    }
}

fn run_one(command: &ServeCommand, sockets: &PassedSockets, stderr: &LineWriter) -> Ended {
    let options = command.options(models::clock());
    let args = command.server();
    // Reading a library or resolving an upstream takes time: requests wait meanwhile.
    let mut requests = Requests::install(matches!(command, ServeCommand::Library(_)))?;
    let offer = Offer::of(command, &options.limits)?;
    let model = Chosen::by(args)?;
    if let Some(parent) = args.end_with_parent {
        parent::end_with(parent);
    }
    requests.take_stops()?;
    let reloads = offer.directory.map(Reloads::start).transpose()?;
    let stats = Stats::open(args.stats.as_deref(), stderr)?;
    let listener = listen(args, sockets)?;
    let recording = Recording::start(args.record.as_deref(), &options.clock)?;
    let log = Arc::new(ServerLog::new(&offer.service, None));
    let (name, clock) = (model.name(), &options.clock);
    let observation = Observation::prepare(args.observe, args.lab, name, clock, stderr);
    let metrics = Metrics::listen(args.metrics.as_ref())?;
    // Before there are connections, which may take all descriptors.
    let inquirer = requests.inquirer()?;
    let role = stats::role(&offer.service);
    let service = stats::role_name(role);
    let log_and_metrics = metrics.beside(service, role, name, log.clone());
    let observer = observation.beside(recording.beside(log_and_metrics));
    let server = start(&*model, listener, offer.service, &options, observer)?;
    limits_in_force::report(options.limits.connections_max);
    let stdout = announce(&offer.name, server.address(), model.name());
    let counts = || ServiceCounts {
        service: service.to_owned(),
        role: service.to_owned(),
        model: name.to_owned(),
        address: server.address().to_string(),
        counts: server.counters(),
    };
    service_manager::ready(&format!("serving on {}", server.address()));
    let reloads = reloads.as_ref();
    let obey = || obey(&*server, &mut requests, reloads, &counts, &stats, stderr);
    let observed = || observation.while_running(&*server, obey);
    let shown = || metrics.while_running(inquirer, observed);
    service_manager::watched(|wait| server.responds(wait), shown);
    service_manager::stopping();
    let status = stop(server, requests, args, stats, stderr);
    recording.finish();
    stdout.finish();
    log.finish();
    Ok(status)
}

/// Starts a server of `model`.
pub(crate) fn start(
    model: &dyn Model,
    listener: TcpListener,
    service: Service,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> Result<Box<dyn Server>, Failure> {
    let started = model.serve(listener, service, options, observer);
    started.map_err(|error| {
        let (name, cause) = (model.name(), cause_at_start(&error));
        let fewer = match is_short_of_threads(&error) && options.threads.get() > 1 {
            true => ", or use fewer --threads",
            false => "",
        };
        Failure::new(format_args!("cannot serve with {name}: {cause}{fewer}"))
    })
}

fn listen(args: &ServerArgs, sockets: &PassedSockets) -> Result<TcpListener, Failure> {
    let Some(name) = &args.socket else {
        return bind(resolve::interface(&args.iface, args.port, CONNECT_TIMEOUT)?);
    };
    let mut listeners = sockets.listeners(name)?;
    sockets.warn_of_others(&[name]);
    match (listeners.pop(), listeners.len()) {
        (Some(listener), 0) => Ok(listener),
        (_, others) => Err(Failure::new(format_args!(
            "{} sockets are called {name}, and this server has one; serve them all with --config",
            others + 1
        ))),
    }
}

/// Binds a listener, or says what to change.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    models::listen(address).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "choose another --port, or --port 0 for a free one",
            io::ErrorKind::PermissionDenied => "choose a --port above 1023",
            io::ErrorKind::AddrNotAvailable => "choose an --iface of this machine",
            _ => "choose another --iface or --port",
        };
        let cause = cause(&error);
        Failure::new(format_args!(
            "cannot listen on {address}: {cause}; {advice}"
        ))
    })
}

// ANCHOR: obey
/// Does what signals request until one requests a stop.
fn obey(
    server: &dyn Server,
    requests: &mut Requests,
    reloads: Option<&Reloads>,
    counts: &dyn Fn() -> ServiceCounts,
    stats: &Stats,
    stderr: &LineWriter,
) {
    loop {
        match requests.next() {
            Request::Stop => break,
            Request::Reload => reloads.iter().for_each(|reloads| reloads.ask()),
            Request::Counts(question) => question.answer(vec![counts()]),
            Request::Report => {
                stats.write(&server.counters());
                if let Some(details) = server.details() {
                    stderr.line(details.trim_end());
                }
            }
        }
    }
}

/// Stops the server.
fn stop(
    server: Box<dyn Server>,
    requests: Requests,
    args: &ServerArgs,
    stats: Stats,
    stderr: &LineWriter,
) -> Status {
    info!(
        "stopping: requests and poems in flight have {} s to finish",
        args.grace
    );
    exit_on_second_signal_to_one(requests, server.counters(), stats.clone(), stderr.clone());
    let summary = server.shutdown(args.grace.0);
    stats.write_last(std::slice::from_ref(&summary.counters));
    if summary.cut > 0 {
        warn!(
            "stopped: {} finished, {} cut",
            summary.finished, summary.cut
        );
        return Status::Trouble;
    }
    info!("stopped: {} finished", summary.finished);
    Status::Success
}
// ANCHOR_END: obey

fn exit_on_second_signal_to_one(
    requests: Requests,
    counts: Counts,
    stats: Stats,
    stderr: LineWriter,
) {
    let any_open = counts.open > 0;
    let no_reload = "the poems are not read again";
    exit_on_second_signal(requests, vec![counts], any_open, no_reload, stats, stderr);
}

/// Watches for a second signal during the shutdown. The counts are not available then, so `counts` are those from the start of the
/// shutdown, and connections that were open then count as cut (S21). `no_reload` says what SIGHUP does not do meanwhile.
pub(crate) fn exit_on_second_signal(
    mut requests: Requests,
    counts: Vec<impl Serialize + Send + 'static>,
    any_open: bool,
    no_reload: &'static str,
    stats: Stats,
    stderr: LineWriter,
) {
    let watch = move || {
        loop {
            match requests.next() {
                Request::Stop => break,
                Request::Report => info!("stopping: the counts will be written at exit"),
                Request::Reload => info!("stopping: {no_reload}"),
                Request::Counts(_) => {}
            }
        }
        warn!("ended at once by a second signal; the counts are those of the first");
        stats.write_last(&counts);
        let status = match any_open {
            false => Status::Success,
            true => Status::Trouble,
        };
        signals::exit(&stderr, status);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    if let Err(error) = named.spawn(watch) {
        let cause = cause_at_start(&error);
        error!("a second signal will be ignored: {cause}");
    }
}
