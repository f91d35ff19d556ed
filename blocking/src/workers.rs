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
const SPARE_MAX: usize = 128;

/// What threads wait for, and do.
pub trait Work: Send + Sync + 'static {
    /// What one thread does at a time.
    type Job;

    /// Waits for a job.
    fn next(&self) -> Next<Self::Job>;

    /// Nothing came of waiting, and no other thread waits: stays away for a while. False when it is all over.
    fn pause(&self) -> bool;

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
    Failed,
    /// There will never be another job.
    Over,
}

/// A crew of threads at one work.
#[derive(Debug)]
pub struct Workers<W>(Arc<Crew<W>>);

#[derive(Debug)]
struct Crew<W> {
    work: W,
    threads_max: usize,
    roll: Mutex<Roll>,
}

/// Who is there.
#[derive(Debug, Default)]
struct Roll {
    hired: u32,
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
        let roll = Mutex::default();
        let crew = Arc::new(Crew {
            work,
            threads_max,
            roll,
        });
        crew.hire(&mut crew.roll())?;
        Ok(Self(crew))
    }

    /// The work.
    pub fn work(&self) -> &W {
        &self.0.work
    }

    /// Threads that wait for a job, and all threads.
    pub fn count(&self) -> (usize, usize) {
        let roll = self.0.roll();
        (roll.waiting, roll.threads.len())
    }

    /// Waits until every thread has ended, which [`Work::next`] must have been made to tell them.
    pub fn join(&self) {
        loop {
            let mut roll = self.0.roll();
            let mut threads: Vec<_> = roll.threads.drain().map(|(_, thread)| thread).collect();
            threads.extend(roll.ended.take());
            drop(roll);
            if threads.is_empty() {
                return;
            }
            threads.into_iter().for_each(join);
        }
    }
}

impl<W: Work> Crew<W> {
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
                Next::Failed if !self.is_last_waiting() => return self.end(worker),
                Next::Failed if self.work.pause() => {}
                Next::Failed | Next::Over => {
                    self.roll().waiting -= 1;
                    return self.end(worker);
                }
            }
        }
    }

    /// The calling thread has a job. If no other waits for the next one, a new thread shall.
    fn replace_me(self: &Arc<Self>) {
        let mut roll = self.roll();
        roll.waiting -= 1;
        if roll.waiting == 0
            && roll.threads.len() < self.threads_max
            && let Err(cause) = self.hire(&mut roll)
        {
            drop(roll);
            self.work.short_of_threads(&cause);
        }
    }

    /// The calling thread has done its job. False if there are enough without it.
    fn wait_again(&self) -> bool {
        let mut roll = self.roll();
        let wanted = roll.waiting < SPARE_MAX;
        roll.waiting += usize::from(wanted);
        wanted
    }

    /// Whether nobody waits but the calling thread; if others do, it waits no longer.
    fn is_last_waiting(&self) -> bool {
        let mut roll = self.roll();
        let last = roll.waiting == 1;
        roll.waiting -= usize::from(!last);
        last
    }

    fn hire(self: &Arc<Self>, roll: &mut Roll) -> io::Result<()> {
        let worker = roll.hired;
        let crew = Arc::clone(self);
        let place = Place::take()?;
        let thread = builder().spawn(move || {
            let _place = place;
            crew.serve(worker);
        })?;
        roll.threads.insert(worker, thread);
        roll.hired = roll.hired.wrapping_add(1);
        roll.waiting += 1;
        Ok(())
    }

    /// The calling thread ends. It joins the one that ended before, so that no more than one is ever left over.
    fn end(&self, worker: u32) {
        let mut roll = self.roll();
        let Some(me) = roll.threads.remove(&worker) else {
            return; // Whoever waits in `join` has it.
        };
        let earlier = roll.ended.replace(me);
        drop(roll);
        earlier.into_iter().for_each(join);
    }

    /// The roll is whole whenever its lock is free, so a lock poisoned elsewhere is no harm.
    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
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
    let place = Place::take()?;
    builder().spawn_scoped(scope, move || {
        let _place = place;
        work();
    })
}

fn builder() -> Builder {
    thread::Builder::new().stack_size(STACK_BYTES)
}

/// Threads this crate may have in one process. The kernel allows a process so many memory maps; a thread takes four
/// (a stack, a stack for signals, and a guard below each), and one that starts without getting its last is an abort,
/// not an error. An eighth of the maps is left to everybody else.
pub fn threads_wall() -> usize {
    const MAPS_EACH: usize = 4;
    const MAPS_MAX: usize = 65_530; // the kernel's default
    static WALL: LazyLock<usize> = LazyLock::new(|| {
        let said = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let maps = said.and_then(|text| text.trim().parse().ok());
        let maps: usize = maps.unwrap_or(MAPS_MAX);
        (maps - maps / 8) / MAPS_EACH
    });
    *WALL
}

/// One of the places below the wall; dropping it frees it.
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> io::Result<Self> {
        let place = Self; // Gives back what the next line takes, also when that is too much.
        if TAKEN.fetch_add(1, Ordering::Relaxed) >= threads_wall() {
            let wall = threads_wall();
            return Err(io::Error::other(format!(
                "the {wall} threads that a process may have are all in use"
            )));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
