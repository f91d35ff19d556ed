//! Threads that are bounded and used again.
//!
//! Every thread waits for a job, makes sure that another one waits in its place, does the job, and waits again. So
//! there are never more threads than jobs at once and a few to spare, nothing is handed from one to another, and when
//! no more threads can be had, jobs wait: nobody waits for them until a thread is free.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, JoinHandle, Scope, ScopedJoinHandle};

/// The stack of a thread. Our own loops need 8 KiB; the rest is for what an observer, or a panic's message with its
/// backtrace, takes. Pages that are not touched cost nothing.
const STACK_BYTES: usize = 128 << 10;
/// Threads that stay although nothing waits for them: a burst of so many is met by threads that exist. Each holds a
/// descriptor number in reserve while it waits to accept, and some 30 KiB of memory.
pub(crate) const SPARE_MAX: usize = 128;

/// What threads wait for, and do.
pub trait Work: Send + Sync + 'static {
    /// What one thread does at a time.
    type Job;

    /// Waits for a job.
    fn next(&self) -> Next<Self::Job>;

    /// Waiting failed because of `cause`, and no other thread waits: stays away from it for a while. False when it is
    /// all over.
    fn pause(&self, cause: &io::Error) -> bool;

    /// Does `job` in the thread numbered `worker`. A panic must not come out of it.
    fn run(&self, worker: u32, job: Self::Job);

    /// No more threads can be had for now: jobs wait.
    fn short_of_threads(&self, cause: &io::Error);
}

/// What came of waiting.
#[derive(Debug)]
pub enum Next<J> {
    /// A job.
    Job(J),
    /// Waiting is of no use for now.
    Failed(io::Error),
    /// There will never be another job.
    Over,
}

/// How many threads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub threads: usize,
    /// Those that wait for a job.
    pub waiting: usize,
}

/// Threads at one work.
#[derive(Debug)]
pub struct Workers<W>(Arc<Inner<W>>);

#[derive(Debug)]
struct Inner<W> {
    permits: &'static Permits,
    work: W,
    threads_max: usize,
    /// Those that stay although nothing waits for them.
    spare_max: usize,
    registry: Mutex<Registry>,
}

/// Who is there.
#[derive(Debug, Default)]
struct Registry {
    spawned: u32,
    waiting: usize,
    threads: HashMap<u32, JoinHandle<()>>,
    /// The thread that ended last: the next to end joins it.
    ended: Option<JoinHandle<()>>,
}

impl<W: Work> Workers<W> {
    /// Starts the first thread of at most `threads_max`, which is at least 1.
    ///
    /// # Errors
    /// Not even one thread can be had.
    pub fn start(work: W, threads_max: usize) -> io::Result<Self> {
        Self::start_within(&PERMITS, work, threads_max)
    }

    fn start_within(permits: &'static Permits, work: W, threads_max: usize) -> io::Result<Self> {
        let workers = Self::none(permits, work, threads_max, SPARE_MAX);
        workers.0.spawn(&mut workers.0.registry())?;
        Ok(workers)
    }

    /// Starts `threads` threads, all of which stay.
    ///
    /// # Errors
    /// There are more than a process may have, or one cannot be had. Those that could then wait for [`Work::next`] to
    /// tell them that it is over.
    pub fn start_all(work: W, threads: usize) -> io::Result<Self> {
        let limit = threads_limit();
        if threads > limit {
            let words =
                format!("{threads} are more than the {limit} threads that a process may have");
            return Err(io::Error::other(words));
        }
        let workers = Self::none(&PERMITS, work, threads, threads);
        let inner = &workers.0;
        (0..threads).try_for_each(|_| inner.spawn(&mut inner.registry()))?;
        Ok(workers)
    }

    fn none(permits: &'static Permits, work: W, threads_max: usize, spare_max: usize) -> Self {
        Self(Arc::new(Inner {
            permits,
            work,
            threads_max,
            spare_max,
            registry: Mutex::default(),
        }))
    }

    /// How many there are.
    pub fn count(&self) -> Count {
        let registry = self.0.registry();
        Count {
            threads: registry.threads.len(),
            waiting: registry.waiting,
        }
    }

    /// Waits until every thread has ended, which [`Work::next`] must have been made to tell them.
    pub fn join(&self) {
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

impl<W: Work> Inner<W> {
    /// What a thread does until it ends.
    fn serve(self: &Arc<Self>, worker: u32) {
        loop {
            match self.work.next() {
                Next::Job(job) => {
                    self.replace_me();
                    self.work.run(worker, job);
                    if !self.wait_again() {
                        return self.end(worker);
                    }
                }
                Next::Failed(_) if !self.is_last_waiting() => return self.end(worker),
                Next::Failed(cause) if self.work.pause(&cause) => {}
                Next::Failed(_) | Next::Over => {
                    self.registry().waiting -= 1;
                    return self.end(worker);
                }
            }
        }
    }

    /// The calling thread has a job. If no other waits for the next one, a new thread shall.
    fn replace_me(self: &Arc<Self>) {
        let mut registry = self.registry();
        registry.waiting -= 1;
        if registry.waiting == 0
            && registry.threads.len() < self.threads_max
            && let Err(cause) = self.spawn(&mut registry)
        {
            drop(registry);
            self.work.short_of_threads(&cause);
        }
    }

    /// The calling thread has done its job. False if there are enough without it.
    fn wait_again(&self) -> bool {
        let mut registry = self.registry();
        let wanted = registry.waiting < self.spare_max;
        registry.waiting += usize::from(wanted);
        wanted
    }

    /// Whether nobody waits but the calling thread; if others do, it waits no longer.
    fn is_last_waiting(&self) -> bool {
        let mut registry = self.registry();
        let last = registry.waiting == 1;
        registry.waiting -= usize::from(!last);
        last
    }

    fn spawn(self: &Arc<Self>, registry: &mut Registry) -> io::Result<()> {
        let worker = registry.spawned;
        let inner = Arc::clone(self);
        let permit = self.permits.take()?;
        let thread = builder().spawn(move || {
            let _permit = permit;
            inner.serve(worker);
        })?;
        registry.threads.insert(worker, thread);
        registry.spawned = registry.spawned.wrapping_add(1);
        registry.waiting += 1;
        Ok(())
    }

    /// The calling thread ends. It joins the one that ended before, so that no more than one is ever left over, and is
    /// counted until it has.
    fn end(&self, worker: u32) {
        loop {
            let mut registry = self.registry();
            let Some(earlier) = registry.ended.take() else {
                // Whoever waits in `join` may have it.
                registry.ended = registry.threads.remove(&worker);
                return;
            };
            drop(registry);
            join(earlier);
        }
    }

    /// The registry is whole whenever its lock is free, so a lock poisoned elsewhere is no harm.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(thread: JoinHandle<()>) {
    // A thread that panicked has been said to; it has ended, which is what is waited for.
    let _ = thread.join();
}

/// A thread of `scope` with a small stack, counted with all others.
///
/// # Errors
/// No more threads can be had.
pub fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, ()>> {
    spawn_scoped_within(&PERMITS, scope, work)
}

pub(crate) fn spawn_scoped_within<'scope>(
    permits: &'static Permits,
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, ()>> {
    let permit = permits.take()?;
    builder().spawn_scoped(scope, move || {
        let _permit = permit;
        work();
    })
}

fn builder() -> Builder {
    thread::Builder::new().stack_size(STACK_BYTES)
}

/// Threads this crate may have in one process: as many as stay well below the kernel's limit on memory maps.
pub fn threads_limit() -> usize {
    const MAPS_MAX: usize = 65_530; // the kernel's default
    static LIMIT: LazyLock<usize> = LazyLock::new(|| {
        let said = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let maps = said.and_then(|text| text.trim().parse().ok());
        limit_below(maps.unwrap_or(MAPS_MAX))
    });
    *LIMIT
}

/// A thread takes four memory maps: a stack, a stack for signals, and a guard below each. One that starts and does not
/// get its last is an abort, not an error; so an eighth of the maps is left to everybody else.
fn limit_below(maps_max: usize) -> usize {
    const MAPS_EACH: usize = 4;
    (maps_max - maps_max / 8) / MAPS_EACH
}

/// The permits for threads below a limit.
#[derive(Debug)]
pub(crate) struct Permits {
    taken: AtomicUsize,
    /// Permits given since memory was last asked after.
    unchecked: AtomicUsize,
    limit: fn() -> usize,
}

/// Those of this process.
pub(crate) static PERMITS: Permits = Permits::new(threads_limit);

/// One permit; dropping it gives it back.
#[derive(Debug)]
struct Permit(&'static Permits);

impl Permits {
    pub(crate) const fn new(limit: fn() -> usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            unchecked: AtomicUsize::new(UNCHECKED_MAX),
            limit,
        }
    }

    fn take(&'static self) -> io::Result<Permit> {
        let permit = Permit(self); // Gives back what the next line takes, also when that is too much.
        let (taken, limit) = (self.taken.fetch_add(1, Ordering::Relaxed), (self.limit)());
        if taken >= limit {
            let words = format!("the {limit} threads that a process may have are all in use");
            return Err(io::Error::other(words));
        }
        if self.unchecked.fetch_add(1, Ordering::Relaxed) >= UNCHECKED_MAX {
            is_there(HEADROOM_BYTES)?;
            self.unchecked.store(0, Ordering::Relaxed);
        }
        Ok(permit)
    }
}

/// Address space that must be free when threads are made: whoever has too little for a few bytes more aborts. More
/// than the 32 MiB up to which the allocator would learn from being asked, and than [`UNCHECKED_MAX`] threads take.
const HEADROOM_BYTES: usize = 48 << 20;
/// Threads that are made without asking whether the headroom is still there: asking is two system calls.
const UNCHECKED_MAX: usize = 32;

/// Asks for so much address space and gives it back untouched, which costs no memory.
fn is_there(bytes: usize) -> io::Result<()> {
    let mut headroom = Vec::<u8>::new();
    let reserved = headroom.try_reserve_exact(bytes);
    std::hint::black_box(&headroom); // Or it would be seen that nobody needs it.
    reserved.map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "too little memory is left"))
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
