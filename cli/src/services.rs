//! `quatrain serve --config FILE`: any number of services in one process (S26), as Twisted's MultiService: started in order,
//! stopped in reverse.

mod running;

use std::path::Path;
use std::thread;

use tracing::{error, info, warn};

use crate::args::Address;
use crate::config::{Config, Flaws};
use crate::descriptors;
use crate::failure::{Ended, Status, cause_at_start};
use crate::limits_in_force;
use crate::line_writer::LineWriter;
use crate::metrics::Metrics;
use crate::signals::{self, Request, Requests};
use crate::stats::{ServiceCounts, Stats};
use crate::words::counted;

use self::running::Running;

/// Runs the services of `file` until a signal ends them.
pub(crate) fn run(
    file: &Path,
    stats: Option<&Path>,
    metrics: Option<&Address>,
    stderr: &LineWriter,
) -> Ended {
    let config = Config::read(file).map_err(|flaws| flaws.fail(stderr))?;
    let connections_max = config.connections_max();
    descriptors::prepare(connections_max);
    // Reading poems or resolving an upstream takes time: requests wait meanwhile.
    let mut requests = Requests::install(true)?;
    requests.take_stops()?;
    let stats = Stats::open(stats, stderr)?;
    let metrics = Metrics::listen(metrics)?;
    let mut services = Services::default();
    for service in config.services {
        match Running::start(service, &metrics) {
            Ok(running) => services.0.push(running),
            Err(flaw) => {
                services.stop();
                return Err(Flaws::of(file).with([flaw]).fail(stderr));
            }
        }
    }
    limits_in_force::report(connections_max);
    metrics.while_running(requests.inquirer()?, || {
        services.obey(&mut requests, &stats, stderr);
    });
    info!(
        "stopping {} in reverse order, each with its grace",
        counted(services.0.len() as u64, "service")
    );
    exit_on_second_signal(requests, services.counts(), stats.clone(), stderr.clone());
    let stopped = services.stop();
    stats.write_last(&stopped.counts);
    Ok(stopped.status)
}

/// Services that run, in the order of their start.
#[derive(Default)]
struct Services(Vec<Running>);

/// How the services have stopped.
struct Stopped {
    status: Status,
    /// In the order of their start.
    counts: Vec<ServiceCounts>,
}

impl Services {
    // ANCHOR: obey_services
    /// Does what signals request until one requests a stop.
    fn obey(&self, requests: &mut Requests, stats: &Stats, stderr: &LineWriter) {
        loop {
            match requests.next() {
                Request::Stop => break,
                Request::Reload => self.0.iter().for_each(Running::reload),
                Request::Counts(question) => question.answer(self.counts()),
                Request::Report => {
                    self.counts().iter().for_each(|counts| stats.write(counts));
                    for (name, details) in self.0.iter().flat_map(Running::details) {
                        stderr.line(format_args!("{name}:\n{}", details.trim_end()));
                    }
                }
            }
        }
    }

    /// Stops the services in reverse order, one after another: a service may serve those that started after it, so it runs until
    /// they have stopped.
    fn stop(self) -> Stopped {
        let mut stopped: Vec<_> = self.0.into_iter().rev().map(Running::stop).collect();
        stopped.reverse();
        let cut = stopped.iter().any(|(_, cut)| *cut > 0);
        Stopped {
            status: if cut {
                Status::Trouble
            } else {
                Status::Success
            },
            counts: stopped.into_iter().flat_map(|(counts, _)| counts).collect(),
        }
    }
    // ANCHOR_END: obey_services

    fn counts(&self) -> Vec<ServiceCounts> {
        self.0.iter().flat_map(Running::counts).collect()
    }
}

/// Watches for a second signal while the services stop. It ends the process at once, with the `counts` of the first (S21).
fn exit_on_second_signal(
    mut requests: Requests,
    counts: Vec<ServiceCounts>,
    stats: Stats,
    stderr: LineWriter,
) {
    let watch = move || {
        loop {
            match requests.next() {
                Request::Stop => break,
                Request::Report => info!("stopping: the counts will be written at exit"),
                Request::Reload => info!("stopping: the file is not read again"),
                Request::Counts(_) => {}
            }
        }
        warn!("ended at once by a second signal; the counts are those of the first");
        stats.write_last(&counts);
        let status = match counts.iter().any(|counts| counts.counts.open > 0) {
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
