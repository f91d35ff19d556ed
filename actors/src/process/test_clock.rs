//! A clock that tests move, and nodes that run on it.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use super::local::Local;
use super::node::Node;
use super::start::start_on_virtual_time;

/// The clock of a node started by [`Node::start_on_test_clock`].
#[derive(Clone)]
pub struct TestClock {
    node: Node,
}

/// Times an arbiter's tasks are run before its processes count as idle. Handling a message takes one.
const RUNS_TO_IDLE: usize = 100;

impl Node {
    /// Starts a node of one thread whose time stands still until the clock moves it.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_on_test_clock() -> io::Result<(Self, TestClock)> {
        let node = start_on_virtual_time()?;
        Ok((node.clone(), TestClock { node }))
    }
}

impl TestClock {
    // ANCHOR: advance
    /// Moves the time forward by `wait`, stopping at every deadline on the way, and lets the processes run until they are
    /// idle. Blocks until then; a process must not call it.
    pub fn advance(&self, wait: Duration) {
        let (sender, idle) = mpsc::channel();
        self.node.run_in(0, move || {
            actix::spawn(async move {
                advance_here(wait, run_until_idle).await;
                let _ = sender.send(());
            });
        });
        let _ = idle.recv();
    }
    // ANCHOR_END: advance

    /// Lets the processes run until they are idle, without moving the time.
    pub fn settle(&self) {
        self.advance(Duration::ZERO);
    }

    /// Runs `function` in the arbiter, in one turn, so that no process runs before it has returned.
    #[cfg(test)]
    pub(crate) fn at_once(&self, function: impl FnOnce() + Send + 'static) {
        self.node.run_in(0, function);
        self.settle();
    }
}

/// Moves the time of the arbiter that runs this, as [`TestClock::advance`] does. `idle` ends once its processes are idle.
pub(crate) async fn advance_here(wait: Duration, idle: impl AsyncFn()) {
    idle().await;
    if let Some(local) = Local::current() {
        let until = local.timers.now().saturating_add(wait);
        while !local.timers.move_to(until) {
            idle().await;
        }
    }
    idle().await;
}

/// Returns the time of the arbiter that calls this, or zero in another thread.
#[cfg(test)]
pub(crate) fn virtual_now() -> Duration {
    Local::current().map_or(Duration::ZERO, |local| local.timers.now())
}

async fn run_until_idle() {
    for _ in 0..RUNS_TO_IDLE {
        tokio::task::yield_now().await;
    }
}
