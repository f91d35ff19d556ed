//! Threads that do jobs which the test hands out: how many there are, and what happens without any.

use super::*;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);

/// A job that reports its thread's number, and lasts until the other end of `until` is dropped.
struct Job {
    done_by: Sender<u32>,
    until: Receiver<()>,
}

struct TestJobs {
    jobs: Mutex<Receiver<Job>>,
    short: Sender<String>,
}

impl Jobs for TestJobs {
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

    fn report_short_of_threads(&self, cause: &io::Error) {
        let _ = self.short.send(cause.to_string());
    }
}

struct Fixture {
    workers: Workers<TestJobs>,
    jobs: Option<Sender<Job>>,
    done_by: (Sender<u32>, Receiver<u32>),
    short: Receiver<String>,
}

impl Fixture {
    fn open(permits: &'static Permits, threads_max: usize) -> Self {
        let (jobs, receiver) = mpsc::channel();
        let (sender, short) = mpsc::channel();
        let jobs_of_test = TestJobs {
            jobs: Mutex::new(receiver),
            short: sender,
        };
        Self {
            workers: Workers::start_within(permits, jobs_of_test, threads_max).unwrap(),
            jobs: Some(jobs),
            done_by: mpsc::channel(),
            short,
        }
    }

    /// Hands out a job that lasts until the returned value is dropped.
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
    let fixture = Fixture::open(&PERMITS, 2);
    let mut workers = std::collections::HashSet::new();
    for _ in 0..50 {
        let job = fixture.give();
        workers.insert(fixture.done_by());
        drop(job);
    }
    assert!(workers.len() <= 2, "{workers:?}");
    assert!(fixture.workers.0.registry().spawned <= 2);
    fixture.close();
}

#[test]
fn t1_at_the_limit_a_job_waits_for_a_thread() {
    let fixture = Fixture::open(&PERMITS, 2);
    let (first, second) = (fixture.give(), fixture.give());
    let (one, two) = (fixture.done_by(), fixture.done_by());
    let third = fixture.give();
    assert!(fixture.done_by.1.try_recv().is_err());
    drop(second);
    assert!([one, two].contains(&fixture.done_by()));
    drop((first, third));
    fixture.close();
}

#[test]
fn t1_jobs_wait_and_a_report_is_made_when_no_thread_can_be_spawned() {
    static ONE: Permits = Permits::new(|| 1);
    let fixture = Fixture::open(&ONE, 100);
    let (first, second) = (fixture.give(), fixture.give());
    let worker = fixture.done_by();
    let message = fixture.short.recv_timeout(DEADLINE).unwrap();
    assert_eq!(
        message,
        "the 1 threads that a process may have are all in use"
    );
    assert!(fixture.done_by.1.try_recv().is_err());
    drop(first);
    assert_eq!(fixture.done_by(), worker);
    drop(second);
    fixture.close();
    assert_eq!(ONE.taken(), 0);
}

#[test]
fn t1_no_more_than_the_spare_threads_are_kept() {
    let fixture = Fixture::open(&PERMITS, 2 * SPARE_MAX);
    let jobs: Vec<_> = (0..SPARE_MAX + 20).map(|_| fixture.give()).collect();
    for _ in &jobs {
        fixture.done_by();
    }
    assert!(fixture.workers.count().threads >= SPARE_MAX + 20);
    drop(jobs);
    let last = fixture.give();
    fixture.done_by();
    drop(last);
    let begun = std::time::Instant::now();
    while fixture.workers.count().threads > SPARE_MAX + 1 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", fixture.workers.count());
        thread::yield_now();
    }
    fixture.close();
}

#[test]
fn t3_a_poisoned_registry_does_no_harm() {
    poetry::panics::silence_contained();
    let fixture = Fixture::open(&PERMITS, 4);
    let poisoned = poetry::panics::contain(|| {
        let _registry = fixture.workers.0.registry();
        panic!("while the registry is locked")
    });
    assert!(poisoned == Err::<(), _>("while the registry is locked".to_owned()));
    let jobs = [fixture.give(), fixture.give()];
    assert_ne!(fixture.done_by(), fixture.done_by());
    drop(jobs);
    fixture.close();
}
