//! Threads that do jobs given out by hand: how many, by whom, and what when there are none.

use super::*;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);

/// A job that says who does it, and lasts until its other end is dropped.
struct Job {
    done_by: Sender<u32>,
    until: Receiver<()>,
}

struct Jobs {
    jobs: Mutex<Receiver<Job>>,
    short: Sender<String>,
}

impl Work for Jobs {
    type Job = Job;

    fn next(&self) -> Next<Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.recv().map_or(Next::Over, Next::Job)
    }

    fn pause(&self, _: &io::Error) -> bool {
        unreachable!("waiting does not fail")
    }

    fn run(&self, worker: u32, job: Job) {
        let _ = job.done_by.send(worker);
        let _ = job.until.recv();
    }

    fn short_of_threads(&self, cause: &io::Error) {
        let _ = self.short.send(cause.to_string());
    }
}

struct Site {
    workers: Workers<Jobs>,
    jobs: Option<Sender<Job>>,
    done_by: (Sender<u32>, Receiver<u32>),
    short: Receiver<String>,
}

impl Site {
    fn open(permits: &'static Permits, threads_max: usize) -> Self {
        let (jobs, receiver) = mpsc::channel();
        let (sender, short) = mpsc::channel();
        let work = Jobs {
            jobs: Mutex::new(receiver),
            short: sender,
        };
        Self {
            workers: Workers::start_within(permits, work, threads_max).unwrap(),
            jobs: Some(jobs),
            done_by: mpsc::channel(),
            short,
        }
    }

    /// Gives out a job that lasts until the returned value is dropped.
    fn give(&self) -> Sender<()> {
        let (until, receiver) = mpsc::channel();
        let job = Job {
            done_by: self.done_by.0.clone(),
            until: receiver,
        };
        self.jobs.as_ref().unwrap().send(job).unwrap();
        until
    }

    fn done_by(&self) -> u32 {
        self.done_by.1.recv_timeout(DEADLINE).unwrap()
    }

    fn close(mut self) {
        self.jobs = None;
        self.workers.join();
        assert_eq!(self.workers.count().threads, 0);
    }
}

#[test]
fn t1_a_thread_that_has_finished_does_the_next_job() {
    let site = Site::open(&PERMITS, 2);
    let mut workers = std::collections::HashSet::new();
    for _ in 0..50 {
        let job = site.give();
        workers.insert(site.done_by());
        drop(job);
    }
    assert!(workers.len() <= 2, "{workers:?}");
    assert!(site.workers.0.registry().spawned <= 2);
    site.close();
}

#[test]
fn t1_at_the_limit_a_job_waits_for_a_thread() {
    let site = Site::open(&PERMITS, 2);
    let (first, second) = (site.give(), site.give());
    let (one, two) = (site.done_by(), site.done_by());
    let third = site.give();
    assert!(site.done_by.1.try_recv().is_err());
    drop(second);
    assert!([one, two].contains(&site.done_by()));
    drop((first, third));
    site.close();
}

#[test]
fn t1_when_no_thread_can_be_had_jobs_wait_and_it_is_said() {
    static ONE: Permits = Permits::new(|| 1);
    let site = Site::open(&ONE, 100);
    let (first, second) = (site.give(), site.give());
    let worker = site.done_by();
    let words = site.short.recv_timeout(DEADLINE).unwrap();
    assert_eq!(
        words,
        "the 1 threads that a process may have are all in use"
    );
    assert!(site.done_by.1.try_recv().is_err());
    drop(first);
    assert_eq!(site.done_by(), worker);
    drop(second);
    site.close();
    assert_eq!(ONE.taken.load(Ordering::Relaxed), 0);
}

#[test]
fn t1_threads_to_spare_are_kept_and_no_more() {
    let site = Site::open(&PERMITS, 2 * SPARE_MAX);
    let jobs: Vec<_> = (0..SPARE_MAX + 20).map(|_| site.give()).collect();
    for _ in &jobs {
        site.done_by();
    }
    assert!(site.workers.count().threads >= SPARE_MAX + 20);
    drop(jobs);
    let last = site.give();
    site.done_by();
    drop(last);
    let begun = std::time::Instant::now();
    while site.workers.count().threads > SPARE_MAX + 1 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", site.workers.count());
        thread::yield_now();
    }
    site.close();
}

#[test]
fn t3_a_poisoned_registry_harms_nobody() {
    poetry::panics::silence_contained();
    let site = Site::open(&PERMITS, 4);
    let poisoned = poetry::panics::contain(|| {
        let _registry = site.workers.0.registry();
        panic!("with the registry in hand")
    });
    assert!(poisoned == Err::<(), _>("with the registry in hand".to_owned()));
    let jobs = [site.give(), site.give()];
    assert_ne!(site.done_by(), site.done_by());
    drop(jobs);
    site.close();
}

#[test]
fn t1_the_limit_is_well_below_the_sixteen_thousand_that_would_fit() {
    assert_eq!(limit_below(65_530), 14_334);
}

#[test]
fn t1_no_thread_is_made_where_too_little_memory_is_left() {
    assert!(is_there(HEADROOM_BYTES).is_ok());
    let too_little = is_there(isize::MAX as usize).unwrap_err();
    assert_eq!(too_little.kind(), io::ErrorKind::OutOfMemory);
}
