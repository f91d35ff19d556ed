//! The servers against a seeded adversary, in memory: `simulation` makes the plan and judges the run, this carries it out.
//!
//! A thread serves one connection and knows no other, so the connections of a run are served one after another in the test's
//! thread, each on a virtual time of its own, by the code that a server's threads run. So a seed gives the same run again. What real
//! threads do to each other is left to the tests over sockets: the limit on connections, the proxy, and who is first when a shutdown
//! and a connection meet.
//!
//! ```sh
//! QUATRAIN_SIM_SEED=7 cargo test -p quatrain-blocking --lib simulation -- --nocapture     # replays a run
//! ```

mod fetch;
mod socket;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::simulation::log::{Log, Observed, Step};
use ::simulation::plan::Plan;
use ::simulation::runs::{self, Recorder};
use fastrand::Rng;
use poetry::event::Scene;
use poetry::{Clock, CloseReason, Counters, Counts, Reporter, Service, panics};

use crate::NAME;
use crate::buffers::{Buffers, ReadBuffer};
use crate::connection::Connection;
use crate::deadlines::{Timed, WriteTimeout};
use crate::ledger::Ledger;
use crate::server_state::ServeConnection;
use socket::Socket;

const COMMAND: &str = "cargo test -p quatrain-blocking --lib simulation -- --nocapture";

/// A blocked write ends after a quarter of a second at the latest, and begins again (T2).
const LATE_MAX: Duration = Duration::from_millis(250);

#[test]
fn s1_s5_s7_s18_s19_s21_s23_t2_servers_keep_the_rules_whatever_the_network_does() {
    panics::silence_contained();
    runs::check(COMMAND, LATE_MAX, |plan| match &plan.service {
        Service::Poem(service) => simulate(plan, service),
        Service::Transform(service) => simulate(plan, service),
        Service::Library(service) => simulate(plan, service),
        Service::Proxy(_) => unreachable!("no plan has a proxy"),
    });
}

/// Carries out `plan` with `service`.
fn simulate(plan: &Plan, service: &impl ServeConnection) -> Observed {
    let mut rng = Rng::with_seed(plan.disturbance);
    let run = Run {
        plan,
        recorder: Recorder::new(),
        counters: Counters::default(),
        buffers: Buffers::default(),
        finished_and_cut: Cell::default(),
    };
    let logs = (0..plan.peers.len()).map(|index| run.serve(service, index, rng.fork()));
    Observed {
        logs: logs.collect(),
        events: run.recorder.take(),
        counts: Counts::from(&run.counters),
        finished_and_cut: run.finished_and_cut.get(),
    }
}

/// What the connections of a run share.
struct Run<'p> {
    plan: &'p Plan,
    recorder: Arc<Recorder>,
    counters: Counters,
    buffers: Buffers,
    finished_and_cut: Cell<(u64, u64)>,
}

impl Run<'_> {
    /// Serves the peer `index` as `ServerState::serve` does, unless the server has stopped before it arrives.
    fn serve(&self, service: &impl ServeConnection, index: usize, rng: Rng) -> Log {
        let nanos = Arc::<AtomicU64>::default();
        let socket = Socket::accepted(self.plan, index, is_busy(service), Arc::clone(&nanos), rng);
        if self.plan.peers[index].arrives >= self.plan.stop_at {
            return socket.take_log();
        }
        let clock = Clock::new(move || Duration::from_nanos(nanos.load(Ordering::Relaxed)));
        let role = self.plan.service.role();
        let reporter = Reporter::new(NAME, role, clock, self.recorder.clone());
        let scene = Scene {
            task: index as u64,
            ..Scene::default()
        };
        self.counters.accepted();
        socket.note(Step::Accepted);
        let state = socket.state();
        let limits = &self.plan.limits;
        let mut connection = Connection {
            wire: Timed::new(socket.served()),
            buffer: ReadBuffer::new(&self.buffers),
            ledger: Ledger::new(&self.counters, &reporter, scene),
            state: &state,
            limits,
            write_timeout: WriteTimeout::new(limits.write_timeout),
            lingers: false,
        };
        let served = panics::contain(|| {
            connection.ledger.accepted();
            let reason = service.serve(&mut connection);
            connection.prepare_close(reason);
            connection.ledger.close(reason);
            reason
        });
        drop(connection);
        let reason = served.expect("nothing but a handler panics");
        self.note_end(&socket, reason);
        socket.take_log()
    }

    /// Counts a connection that was in flight when the server stopped, as its shutdown does.
    fn note_end(&self, socket: &Socket, reason: CloseReason) {
        let (finished, cut) = self.finished_and_cut.get();
        self.finished_and_cut
            .set(match (socket.was_busy(), reason) {
                (true, CloseReason::Cut) => (finished, cut + 1),
                (true, _) => (finished + 1, cut),
                (false, _) => (finished, cut),
            });
    }
}

fn is_busy<S: ServeConnection>(_: &S) -> bool {
    S::BEGINS_IN_FLIGHT
}
