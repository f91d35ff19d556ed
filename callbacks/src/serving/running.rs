//! A running server, behind the contract: its reactors' threads, seen from another one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use poetry::{Counts, Server, Summary};

use super::{Worker, details, stop};
use crate::reactor::Reactor;

/// A running server of this model, behind the contract.
pub(super) struct RunningServer {
    pub(super) address: SocketAddr,
    pub(super) grace: Arc<AtomicU64>,
    /// Whether the first worker accepts. It then stops the others once it deals no more connections.
    pub(super) accepts: bool,
    pub(super) workers: Vec<Worker>,
}

impl RunningServer {
    fn describe(&self, with_times: bool) -> String {
        let inlets = self.workers.iter().map(|worker| &worker.details);
        details::ask(inlets, with_times)
    }

    /// Calls `work` in the reactors of `workers`. Returns whether all have done it within `wait`.
    fn asked(&self, workers: &[Worker], wait: Duration, work: fn(&Reactor)) -> bool {
        let (done, all_done) = mpsc::channel();
        let left = Arc::new(AtomicUsize::new(workers.len()));
        for worker in workers {
            let (done, left) = (done.clone(), Arc::clone(&left));
            let work = move |reactor: &Reactor| {
                work(reactor);
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let _ = done.send(());
                }
            };
            // It fails, and drops `done`, if the reactor has ended.
            let _ = worker.remote.call_from_thread(work);
        }
        drop(done);
        all_done.recv_timeout(wait).is_ok()
    }

    /// Stops the reactors and waits for their threads.
    fn end(&mut self, grace: Duration) -> Summary {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.grace.store(millis, Ordering::SeqCst);
        let stopped_here = if self.accepts { 1 } else { self.workers.len() };
        for worker in self.workers.iter().take(stopped_here) {
            let _ = worker.remote.call_from_thread(stop);
        }
        let mut summary = Summary::default();
        let mut counters = Vec::new();
        for worker in self.workers.drain(..) {
            counters.push(worker.counters);
            // A thread that panicked outside of all callbacks has finished nothing.
            let (finished, cut) = worker.thread.join().unwrap_or_default();
            summary.finished += finished;
            summary.cut += cut;
        }
        summary.counters = Counts::of(counters.iter().map(AsRef::as_ref));
        summary
    }
}

impl Server for RunningServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(self.workers.iter().map(|worker| &*worker.counters))
    }

    fn details(&self) -> Option<String> {
        Some(self.describe(false))
    }

    fn live_details(&self) -> Option<String> {
        Some(self.describe(true))
    }

    fn stop_accepting(&self) -> bool {
        self.asked(&self.workers[..1], Duration::MAX, Reactor::close_ports)
    }

    fn responds(&self, wait: Duration) -> bool {
        self.asked(&self.workers, wait, |_| ())
    }

    fn shutdown(mut self: Box<Self>, grace: Duration) -> Summary {
        self.end(grace)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.end(Duration::ZERO);
        }
    }
}
