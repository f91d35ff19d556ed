//! `quatrain serve --config FILE`: any number of services in one process (S26), as Twisted's MultiService: started in order,
//! stopped in reverse.

mod reload;
mod running;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

use crate::args::Address;
use crate::config::{Config, Flaws};
use crate::descriptors;
use crate::failure::{Ended, Status};
use crate::limits_in_force;
use crate::line_writer::LineWriter;
use crate::metrics::Metrics;
use crate::passed_sockets::PassedSockets;
use crate::serve::exit_on_second_signal;
use crate::service_manager;
use crate::signals::{Request, Requests};
use crate::stats::{ServiceCounts, Stats};
use crate::words::counted;

use self::reload::Reloads;
use self::running::{Prepared, Running};

/// Runs the services of `file` until a signal ends them.
pub(crate) fn run(
    file: &Path,
    stats: Option<&Path>,
    metrics: Option<&Address>,
    sockets: PassedSockets,
    stderr: &LineWriter,
) -> Ended {
    let config = Config::read(file).map_err(|flaws| flaws.fail(stderr))?;
    let connections_max = config.connections_max();
    descriptors::prepare(connections_max);
    // Reading poems or resolving an upstream takes time: requests wait meanwhile.
    let mut requests = Requests::install(true)?;
    requests.take_stops()?;
    let stats = Stats::open(stats, stderr)?;
    let services = Arc::new(Services {
        file: file.to_owned(),
        sockets,
        metrics: Metrics::listen(metrics)?,
        state: Mutex::default(),
    });
    // Before there are connections, which may take all descriptors.
    let inquirer = requests.inquirer()?;
    for service in config.services {
        let prepared = Prepared::new(service, &services.sockets, Vec::new());
        match prepared.and_then(|prepared| prepared.start(&services.metrics)) {
            Ok(running) => services.state().running.push(Arc::new(running)),
            Err(flaw) => {
                services.stop();
                return Err(Flaws::of(file).with([flaw]).fail(stderr));
            }
        }
    }
    services.warn_of_other_sockets();
    let reloads = Reloads::start(Arc::clone(&services))?;
    limits_in_force::report(connections_max);
    service_manager::ready(&format!("serving {}", services.status()));
    let obey = || services.obey(&mut requests, &reloads, &stats, stderr);
    let shown = || services.metrics.while_running(inquirer, obey);
    service_manager::watched(|wait| services.respond(wait), shown);
    service_manager::stopping();
    info!(
        "stopping {} in reverse order, each with its grace",
        services.status()
    );
    let counts = services.counts();
    let any_open = counts.iter().any(|counts| counts.counts.open > 0);
    exit_on_second_signal(
        requests,
        counts,
        any_open,
        "the file is not read again",
        stats.clone(),
        stderr.clone(),
    );
    let stopped = services.stop();
    stats.write_last(&stopped.counts);
    Ok(stopped.status)
}

/// The services of a file.
struct Services {
    file: PathBuf,
    sockets: PassedSockets,
    metrics: Metrics,
    state: Mutex<State>,
}

/// What runs.
#[derive(Default)]
struct State {
    /// In the order of the file.
    running: Vec<Arc<Running>>,
    /// Replaced or removed, in that order, with connections from before.
    retired: Vec<Arc<Running>>,
    /// The last counts of those that have ended since.
    ended: Vec<ServiceCounts>,
    /// Nothing is started any more.
    stopping: bool,
}

/// How the services have stopped.
struct Stopped {
    status: Status,
    /// In the order of the file.
    counts: Vec<ServiceCounts>,
}

impl Services {
    // ANCHOR: obey_services
    /// Does what signals request until one requests a stop.
    fn obey(&self, requests: &mut Requests, reloads: &Reloads, stats: &Stats, stderr: &LineWriter) {
        loop {
            match requests.next() {
                Request::Stop => break,
                Request::Reload => reloads.ask(),
                Request::Counts(question) => question.answer(self.counts()),
                Request::Report => {
                    self.counts().iter().for_each(|counts| stats.write(counts));
                    for details in self.all().iter().flat_map(|service| service.details()) {
                        stderr.line(details);
                    }
                }
            }
        }
    }

    /// Stops the services in reverse order, one after another: a service may serve those that started after it, so it runs until
    /// they have stopped.
    fn stop(&self) -> Stopped {
        self.state().stopping = true;
        let mut stopped: Vec<_> = self
            .all()
            .iter()
            .rev()
            .map(|service| service.stop())
            .collect();
        stopped.reverse();
        let cut = stopped.iter().any(|(_, cut)| *cut > 0);
        Stopped {
            status: if cut {
                Status::Trouble
            } else {
                Status::Success
            },
            counts: sums(
                stopped
                    .into_iter()
                    .flat_map(|(counts, _)| counts)
                    .chain(self.state().ended.clone()),
            ),
        }
    }
    // ANCHOR_END: obey_services

    /// Returns the counts of each service at each of its addresses, over its reloads.
    fn counts(&self) -> Vec<ServiceCounts> {
        let ended = self.state().ended.clone();
        let running = self.all();
        sums(
            running
                .iter()
                .flat_map(|service| service.counts())
                .chain(ended),
        )
    }

    /// Returns whether all servers respond within `wait`.
    fn respond(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut all = self.all().into_iter();
        all.all(|service| service.responds(deadline))
    }

    /// Returns how many services run.
    fn status(&self) -> String {
        counted(self.running().len() as u64, "service")
    }

    /// Warns of sockets that were passed and that no service uses.
    fn warn_of_other_sockets(&self) {
        let running = self.running();
        let used = running.iter().filter_map(|service| service.config.socket());
        self.sockets.warn_of_others(&used.collect::<Vec<_>>());
    }

    fn running(&self) -> Vec<Arc<Running>> {
        self.state().running.clone()
    }

    /// Returns all services that have connections: those of the file, and then those that were replaced.
    fn all(&self) -> Vec<Arc<Running>> {
        let state = self.state();
        state
            .running
            .iter()
            .chain(&state.retired)
            .cloned()
            .collect()
    }

    /// The state is valid after every statement, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up what has the same service, role, model and address, in the order of the first of each.
fn sums(counts: impl IntoIterator<Item = ServiceCounts>) -> Vec<ServiceCounts> {
    let mut sums: Vec<ServiceCounts> = Vec::new();
    for counts in counts {
        match sums.iter_mut().find(|sum| sum.is_of_the_same(&counts)) {
            Some(sum) => sum.counts += counts.counts,
            None => sums.push(counts),
        }
    }
    sums
}
