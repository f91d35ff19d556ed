//! SIGHUP: reads the file of services again, in a thread of its own, and replaces what has changed. No connection is dropped: the new
//! servers accept from the listeners of the old ones, which serve the connections they have to their ends.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use super::running::{Prepared, Running};
use super::{Services, State, sums};
use crate::config::{Config, Flaw, Flaws, ServiceConfig};
use crate::failure::{Failure, cause_at_start};
use crate::limits_in_force;
use crate::service_manager;
use crate::words::{counted, shown};

/// Replaced or removed services that still have connections. Each has threads; a reload that would need more is refused.
const RETIRED_MAX: usize = 64;
/// Services of other names, models or addresses whose last counts are kept; those that end later are not counted any more.
const ENDED_MAX: usize = 1_000;
/// How often retired services are looked at: nothing announces that the last connection of a server has ended.
const RETIRED_CHECK: Duration = Duration::from_secs(1);

/// Asks for readings of the file.
pub(super) struct Reloads(SyncSender<()>);

impl Reloads {
    /// Starts the thread that reloads `services` when asked, and ends retired ones when their last connection has.
    pub(super) fn start(services: Arc<Services>) -> Result<Self, Failure> {
        let (ask, asked) = sync_channel(1);
        let work = move || {
            while let Some(wanted) = next(&asked, services.has_retired()) {
                match wanted {
                    true => services.reload(),
                    false => services.end_retired(),
                }
            }
        };
        let named = thread::Builder::new().name("reload".to_owned());
        named.spawn(work).map_err(|error| {
            let cause = cause_at_start(&error);
            Failure::new(format_args!("cannot start a thread to reload: {cause}"))
        })?;
        Ok(Self(ask))
    }

    /// Asks for a reading that begins after this call.
    pub(super) fn ask(&self) {
        // If the channel is full, a reading that has not begun serves this call too.
        let _ = self.0.try_send(());
    }
}

/// Waits for a wish to reload (true), or for the time to look at retired services (false). `None` when all is over.
fn next(asked: &Receiver<()>, has_retired: bool) -> Option<bool> {
    if !has_retired {
        return asked.recv().ok().map(|()| true);
    }
    match asked.recv_timeout(RETIRED_CHECK) {
        Ok(()) => Some(true),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// What a reload does with the services of the file, in its order.
enum Step {
    /// It goes on as it is.
    Keep(Arc<Running>),
    Add(Prepared),
    Replace(Arc<Running>, Prepared, Vec<&'static str>),
}

impl Services {
    // ANCHOR: reload_services
    /// Reads the file again. Everything is read and bound before anything changes; if something does not work, all goes on as before.
    fn reload(&self) {
        service_manager::reloading();
        match self.plan() {
            Ok(steps) => self.apply(steps),
            Err(flaws) => {
                for line in flaws.lines() {
                    error!("{line}");
                }
                error!(
                    "{} is not reloaded: everything runs as before",
                    self.shown()
                );
            }
        }
        service_manager::ready(&format!("serving {}", self.status()));
    }

    fn plan(&self) -> Result<Vec<Step>, Flaws> {
        let config = Config::read(&self.file)?;
        let running = self.running();
        let mut flaws = Vec::new();
        let steps = config.services.into_iter().map(|service| {
            let old = running.iter().find(|old| old.name() == service.name);
            let changes = old.map(|old| old.config.changes(&service));
            match (old, changes) {
                (None, _) => Ok(Step::Add(self.prepare(service, &running)?)),
                (Some(old), Some(mut changes))
                    if !changes.is_empty() || service.role() == "poem" =>
                {
                    let new = self.prepare(service, &running)?;
                    if !old.has_poem_of(&new) && changes.is_empty() {
                        changes.push("the poem");
                    }
                    Ok(match changes.is_empty() {
                        true => Step::Keep(Arc::clone(old)),
                        false => Step::Replace(Arc::clone(old), new, changes),
                    })
                }
                (Some(old), _) => Ok(Step::Keep(Arc::clone(old))),
            }
        });
        let mut planned = Vec::new();
        for step in steps {
            match step {
                Ok(step) => planned.push(step),
                Err(flaw) => flaws.push(flaw),
            }
        }
        match flaws.is_empty() {
            true => Ok(planned),
            false => Err(Flaws::of(&self.file).with(flaws)),
        }
    }

    /// Prepares a service, with the listeners that it or another one `running` has already.
    fn prepare(&self, service: ServiceConfig, running: &[Arc<Running>]) -> Result<Prepared, Flaw> {
        let of = |old: &Arc<Running>| old.kept_again();
        let (own, others): (Vec<_>, Vec<_>) =
            (running.iter()).partition(|old| old.name() == service.name);
        let own = own.into_iter().map(of).collect::<Result<Vec<_>, _>>();
        let others = others.into_iter().map(of).collect::<Result<Vec<_>, _>>();
        let kept = own.and_then(|own| Ok((own, others?)));
        let (own, others) = kept.map_err(|failure| service.flaw("listen", &failure))?;
        // Each listener of port 0 has a port of its own.
        let others = others
            .into_iter()
            .flatten()
            .filter(|kept| !kept.has_free_port());
        let kept = own.into_iter().flatten().chain(others).collect();
        Prepared::new(service, &self.sockets, kept)
    }

    /// A service that changes is replaced before the old one stops accepting, so that clients never wait for either.
    fn apply(&self, steps: Vec<Step>) {
        let mut state = self.state();
        if state.stopping {
            return;
        }
        let mut kept = Vec::new();
        let (mut new, mut changed) = (0_u64, 0_u64);
        let mut running = Vec::new();
        for step in steps {
            match step {
                Step::Keep(service) => {
                    kept.push(Arc::clone(&service));
                    running.push(service);
                }
                Step::Add(prepared) => {
                    if let Some(service) = self.started(prepared) {
                        new += 1;
                        running.push(service);
                    }
                }
                Step::Replace(old, prepared, changes) => {
                    let place = state.room_to_retire(&old).then(|| self.started(prepared));
                    let Some(Some(service)) = place else {
                        running.push(old);
                        continue;
                    };
                    info!("{} is replaced: {} changed", old.name(), changes.join(", "));
                    if state.retire(&old) {
                        changed += 1;
                        running.push(service);
                    } else {
                        service.stop();
                        running.push(old);
                    }
                }
            }
        }
        let is_gone = |old: &&Arc<Running>| !running.iter().any(|new| new.name() == old.name());
        let gone: Vec<_> = state.running.iter().filter(is_gone).cloned().collect();
        for old in &gone {
            if !state.room_to_retire(old) || !state.retire(old) {
                old.stop();
            }
        }
        let connections_max = |services: &[Arc<Running>]| {
            let each = services
                .iter()
                .map(|service| service.config.connections_max());
            each.fold(0, usize::saturating_add)
        };
        let (before, after) = (connections_max(&state.running), connections_max(&running));
        state.running = running;
        drop(state);
        info!(
            "reloaded {}: {new} new, {changed} changed, {} removed, {} as before",
            self.shown(),
            gone.len(),
            kept.len()
        );
        if before != after {
            limits_in_force::report(after);
        }
        kept.iter().for_each(|service| service.reload());
        self.warn_of_other_sockets();
    }
    // ANCHOR_END: reload_services

    /// Starts a service, or says why it does not run.
    fn started(&self, prepared: Prepared) -> Option<Arc<Running>> {
        match prepared.start(&self.metrics) {
            Ok(service) => Some(Arc::new(service)),
            Err(flaw) => {
                self.report(flaw);
                None
            }
        }
    }

    fn report(&self, flaw: Flaw) {
        for line in Flaws::of(&self.file).with([flaw]).lines() {
            error!("{line}");
        }
    }

    fn has_retired(&self) -> bool {
        !self.state().retired.is_empty()
    }

    /// Ends the retired services without connections. Their counts, which are the last, stay.
    fn end_retired(&self) {
        let mut state = self.state();
        let (over, busy): (Vec<_>, _) = std::mem::take(&mut state.retired)
            .into_iter()
            .partition(|service| service.open() == 0);
        state.retired = busy;
        let counts = over.iter().flat_map(|service| service.counts());
        let ended = std::mem::take(&mut state.ended);
        state.ended = sums(ended.into_iter().chain(counts));
        state.ended.truncate(ENDED_MAX);
        drop(state);
        for service in over {
            info!(
                "{}: the last connection from before the reload has ended",
                service.name()
            );
            service.stop();
        }
    }

    fn shown(&self) -> String {
        shown(&self.file)
    }
}

impl State {
    fn room_to_retire(&self, service: &Running) -> bool {
        let has_room = self.retired.len() < RETIRED_MAX;
        if !has_room {
            let (name, services) = (
                service.name(),
                counted(RETIRED_MAX as u64, "earlier service"),
            );
            warn!("{name} goes on as it is: {services} still have connections; reload again later");
        }
        has_room
    }

    /// Lets `service` accept no more. Returns false if its model cannot do that.
    fn retire(&mut self, service: &Arc<Running>) -> bool {
        let name = service.name();
        if !service.stop_accepting() {
            warn!("{name}: its model cannot leave its listener to another server; restart it");
            return false;
        }
        let open = counted(service.open(), "connection");
        info!(
            "{name} accepts no more: {open} from before the reload go on with the earlier values"
        );
        self.retired.push(Arc::clone(service));
        true
    }
}
