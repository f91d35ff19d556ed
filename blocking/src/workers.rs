//! Threads that are bounded and reused.
//!
//! Every thread waits for a job, makes sure that another thread waits in its place, does the job, and waits again. So no job
//! is handed from thread to thread, and there are never more threads than running jobs and [`SPARE_MAX`] spare ones. If no
//! thread can be spawned, jobs wait until a thread is free.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, JoinHandle, Scope, ScopedJoinHandle};

use crate::permits::{PERMITS, Permits, threads_limit};

/// The stack of a thread. Our own loops need 8 KiB; the rest is for an observer, or for a panic's message with its
/// backtrace. Untouched pages cost nothing.
const STACK_BYTES: usize = 128 << 10;
/// Idle threads that are kept: a burst of so many jobs needs no new thread. A thread that waits to accept takes one
/// descriptor, which the kernel reserves for the connection, and some 30 KiB of memory.
pub(crate) const SPARE_MAX: usize = 128;

/// Where threads get their jobs, and how they do them.
pub(crate) trait Jobs: Send + Sync + 'static {
    /// What one thread does at a time.
    type Job;

    /// Waits for a job.
    fn next(&self) -> Next<Self::Job>;

    /// Pauses after [`Next::Failed`], if no other thread waits. Returns false when there will be no more jobs.
    fn pause(&self, cause: &io::Error) -> bool;

    /// Does `job` in the thread numbered `worker`. It must not panic.
    fn run(&self, worker: u32, job: Self::Job);

    /// Reports that no thread can be spawned for now, so that jobs wait.
    fn report_short_of_threads(&self, cause: &io::Error);
}

/// What [`Jobs::next`] returns.
#[derive(Debug)]
pub(crate) enum Next<J> {
    /// A job.
    Job(J),
    /// Waiting fails for now.
    Failed(io::Error),
    /// There will be no more jobs.
    Over,
}

/// A count of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// All of them.
    pub(crate) threads: usize,
    /// Those that wait for a job.
    pub(crate) waiting: usize,
}

/// The threads that do one kind of job.
#[derive(Debug)]
pub(crate) struct Workers<J>(Arc<Inner<J>>);

#[derive(Debug)]
struct Inner<J> {
    permits: &'static Permits,
    jobs: J,
    threads_max: usize,
    /// Idle threads that are kept.
    spare_max: usize,
    registry: Mutex<Registry>,
    /// No thread waits for a job.
    none_waits: Condvar,
}

#[derive(Debug, Default)]
struct Registry {
    spawned: u32,
    waiting: usize,
    /// Whether it is awaited that none waits. If not, a change needs no system call.
    awaited: bool,
    threads: HashMap<u32, JoinHandle<()>>,
    /// The thread that ended last; the next one to end joins it.
    ended: Option<JoinHandle<()>>,
}

impl<J: Jobs> Workers<J> {
    /// Starts the first thread of at most `threads_max`, which is at least 1.
    ///
    /// # Errors
    /// Fails if not even one thread can be spawned.
    pub(crate) fn start(jobs: J, threads_max: usize) -> io::Result<Self> {
        Self::start_within(&PERMITS, jobs, threads_max)
    }

    fn start_within(permits: &'static Permits, jobs: J, threads_max: usize) -> io::Result<Self> {
        let workers = Self::without_threads(permits, jobs, threads_max, SPARE_MAX);
        workers.0.spawn(&mut workers.0.registry())?;
        Ok(workers)
    }

    /// Starts `threads` threads and keeps them all.
    ///
    /// # Errors
    /// Fails if a process may not have so many threads, or if one cannot be spawned. Threads that were spawned run on
    /// until [`Jobs::next`] returns [`Next::Over`].
    pub(crate) fn start_all(jobs: J, threads: usize) -> io::Result<Self> {
        let limit = threads_limit();
        if threads > limit {
            let message =
                format!("{threads} is more than the {limit} threads that a process may have");
            return Err(io::Error::other(message));
        }
        let workers = Self::without_threads(&PERMITS, jobs, threads, threads);
        let inner = &workers.0;
        (0..threads).try_for_each(|_| inner.spawn(&mut inner.registry()))?;
        Ok(workers)
    }

    fn without_threads(
        permits: &'static Permits,
        jobs: J,
        threads_max: usize,
        spare_max: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            permits,
            jobs,
            threads_max,
            spare_max,
            registry: Mutex::default(),
            none_waits: Condvar::new(),
        }))
    }

    /// Counts the threads.
    pub(crate) fn count(&self) -> Count {
        let registry = self.0.registry();
        Count {
            threads: registry.threads.len(),
            waiting: registry.waiting,
        }
    }

    /// Waits until no thread waits for a job or is about to begin one. [`Jobs::next`] must return [`Next::Over`] from now on.
    pub(crate) fn wait_until_none_waits(&self) {
        let mut registry = self.0.registry();
        registry.awaited = true;
        while registry.waiting > 0 {
            let woken = self.0.none_waits.wait(registry);
            registry = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until every thread has ended. [`Jobs::next`] must return [`Next::Over`] from now on.
    pub(crate) fn join(&self) {
        loop {
            let mut registry = self.0.registry();
            let mut threads: Vec<_> = registry.threads.drain().map(|(_, thread)| thread).collect();
            threads.extend(registry.ended.take());
            drop(registry);
            if threads.is_empty() {
                return;
            }
            threads.into_iter().for_each(join);
        }
    }
}

impl<J: Jobs> Inner<J> {
    // ANCHOR: thread_loop
    /// The loop of a thread, until it ends.
    fn work(self: &Arc<Self>, worker: u32) {
        loop {
            match self.jobs.next() {
                Next::Job(job) => {
                    self.ensure_one_waits();
                    self.jobs.run(worker, job);
                    if !self.wait_again() {
                        return self.end(worker);
                    }
                }
                Next::Failed(_) if !self.is_last_waiting() => return self.end(worker),
                Next::Failed(cause) if self.jobs.pause(&cause) => {}
                Next::Failed(_) | Next::Over => {
                    self.waits_no_more(&mut self.registry());
                    return self.end(worker);
                }
            }
        }
    }
    // ANCHOR_END: thread_loop

    /// The calling thread has a job. Spawns a thread if none is left waiting for the next one.
    fn ensure_one_waits(self: &Arc<Self>) {
        let mut registry = self.registry();
        self.waits_no_more(&mut registry);
        if registry.waiting == 0
            && registry.threads.len() < self.threads_max
            && let Err(cause) = self.spawn(&mut registry)
        {
            drop(registry);
            self.jobs.report_short_of_threads(&cause);
        }
    }

    /// The calling thread has done its job. Returns false if enough others wait.
    fn wait_again(&self) -> bool {
        let mut registry = self.registry();
        let wanted = registry.waiting < self.spare_max;
        registry.waiting += usize::from(wanted);
        wanted
    }

    /// Returns whether only the calling thread waits; if others do too, it no longer counts as waiting.
    fn is_last_waiting(&self) -> bool {
        let mut registry = self.registry();
        let last = registry.waiting == 1;
        if !last {
            self.waits_no_more(&mut registry);
        }
        last
    }

    /// The calling thread no longer counts as waiting.
    fn waits_no_more(&self, registry: &mut Registry) {
        registry.waiting -= 1;
        if registry.awaited && registry.waiting == 0 {
            self.none_waits.notify_all();
        }
    }

    fn spawn(self: &Arc<Self>, registry: &mut Registry) -> io::Result<()> {
        let worker = registry.spawned;
        let inner = Arc::clone(self);
        let thread = spawn(self.permits, move || inner.work(worker))?;
        registry.threads.insert(worker, thread);
        registry.spawned = registry.spawned.wrapping_add(1);
        registry.waiting += 1;
        Ok(())
    }

    /// Ends the calling thread. It first joins the thread that ended before it, so at most one ended thread is not yet
    /// joined. It counts as a thread until then.
    fn end(&self, worker: u32) {
        loop {
            let mut registry = self.registry();
            let Some(earlier) = registry.ended.take() else {
                // None if `join` has taken it already.
                registry.ended = registry.threads.remove(&worker);
                return;
            };
            drop(registry);
            join(earlier);
        }
    }

    /// The registry is consistent whenever its lock is free, so a poisoned lock does no harm.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `thread` has ended.
pub(crate) fn join(thread: JoinHandle<()>) {
    // An error is a panic of the thread, which has been reported; the thread has ended either way.
    let _ = thread.join();
}

/// Spawns a thread of `scope` with a small stack, within `permits`.
///
/// # Errors
/// Fails if no thread can be spawned.
pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
    permits: &'static Permits,
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    let permit = permits.take()?;
    builder().spawn_scoped(scope, move || {
        let _permit = permit;
        work()
    })
}

/// Spawns a thread with a small stack, within `permits`.
///
/// # Errors
/// Fails if no thread can be spawned.
pub(crate) fn spawn(
    permits: &'static Permits,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let permit = permits.take()?;
    builder().spawn(move || {
        let _permit = permit;
        work();
    })
}

fn builder() -> Builder {
    thread::Builder::new().stack_size(STACK_BYTES)
}

#[cfg(test)]
mod tests;
