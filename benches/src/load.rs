//! The load generator: one thread with its own event loop; a closed loop over many connections, or an open loop at a rate.
//!
//! Every byte of every reply is compared; one wrong byte voids the run. Failed connects are counted, not retried. The
//! [`Ledger`] covers all traffic, warm-up included, and must agree exactly with the server's counts (MEASURING 1, 5, 6, 8).

mod arrivals;
mod clock;
mod connection;
mod engine;
mod error;
mod hold;
mod learn;
mod ledger;
mod plan;
mod recorder;
mod report;
mod schedule;
mod shared;
mod source;
mod timeline;
mod timer;
mod watch;

pub use error::LoadError;
pub use hold::{Held, hold};
pub use learn::{learn_library, learn_poem};
pub use ledger::Ledger;
pub use plan::{Arrival, Extent, Gaps, Leave, Mix, Plan, Sources};
pub use report::{Fairness, LATENCY_MAX, Latency, OpenLoop, Report};
pub use watch::{Snapshot, Watch};

/// An end of the timed window, with the replies up to then, including those of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The window opens.
    Begin {
        /// Replies up to now.
        answered: u64,
    },
    /// The window closes; replies in flight are still awaited.
    End {
        /// Replies up to now.
        answered: u64,
    },
}

/// Runs `plan` in this thread.
///
/// # Errors
/// Why the run is void. There are no figures then.
pub fn run(plan: &Plan) -> Result<Report, LoadError> {
    run_marked(plan, &mut |_| {})
}

/// Like [`run`], but calls `mark` at both ends of the timed window, where the server's cost is read.
///
/// # Errors
/// As [`run`].
pub fn run_marked(plan: &Plan, mark: &mut dyn FnMut(Mark)) -> Result<Report, LoadError> {
    plan.check()?;
    engine::Engine::new(plan)?.run(mark, None)
}

/// Like [`run_marked`], but lets `watch` look at the run and stop it. A run that is stopped does not await replies in flight.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    plan: &Plan,
    mark: &mut dyn FnMut(Mark),
    watch: Watch<'_>,
) -> Result<Report, LoadError> {
    plan.check()?;
    engine::Engine::new(plan)?.run(mark, Some(watch))
}
