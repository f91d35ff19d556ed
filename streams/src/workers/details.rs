//! What a running server consists of, for a person to read: the tasks of each runtime, the permits that are left, and the cache.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use poetry::limits::OFFLOADED_MAX;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::proxy::Cache;

/// Tasks of each worker that serve no connection: they keep its deadlines and its turns.
const KEEPERS: usize = 2;

/// The parts of a server that can be described from any thread.
#[derive(Debug)]
pub(super) struct Parts {
    /// One for each worker.
    pub(super) runtimes: Vec<Handle>,
    /// One permit for each connection that the server may hold.
    pub(super) permits: Arc<Semaphore>,
    pub(super) permits_max: u32,
    /// One permit for each heavy request that may be computed, if they are offloaded.
    pub(super) offloading: Option<Arc<Semaphore>>,
    /// That of a proxy.
    pub(super) cache: Option<Arc<Cache>>,
}

impl Parts {
    /// Starts a task in every runtime. Returns whether all have run within `wait`.
    pub(super) fn respond(&self, wait: Duration) -> bool {
        let (done, all_done) = mpsc::channel();
        let left = Arc::new(AtomicUsize::new(self.runtimes.len()));
        for runtime in &self.runtimes {
            let (done, left) = (done.clone(), Arc::clone(&left));
            // A runtime that has ended drops the task, and `done` with it.
            runtime.spawn(async move {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let _ = done.send(());
                }
            });
        }
        drop(done);
        all_done.recv_timeout(wait).is_ok()
    }

    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (worker, runtime) in self.runtimes.iter().enumerate() {
            let tasks = runtime.metrics().num_alive_tasks();
            let plural = if tasks == 1 { "" } else { "s" };
            let _ = writeln!(
                text,
                "streams-{worker}: {tasks} task{plural}, of which {KEEPERS} keep its deadlines and turns"
            );
        }
        let (free, max) = (self.permits.available_permits(), self.permits_max);
        let _ = writeln!(
            text,
            "permits for connections: {free} of {max} free; accepting takes one"
        );
        if let Some(offloading) = &self.offloading {
            let free = offloading.available_permits();
            let _ = writeln!(text, "permits to compute: {free} of {OFFLOADED_MAX} free");
        }
        if let Some(cache) = &self.cache {
            let _ = writeln!(text, "cache: {}", cache.describe());
        }
        text
    }
}
