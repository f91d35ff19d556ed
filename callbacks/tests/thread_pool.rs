//! Work in a pool of threads, with its results back in the reactor (D14).

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use callbacks::{
    Cancelled, Deferred, OpenReactor, Panicked, Reactor, ThreadPool, defer_to_thread_pool,
    gather_results,
};

use common::run_for;

/// A pool of two threads, and work for it that says when it begins and waits for `release` to be dropped.
struct Held {
    reactor: OpenReactor,
    pool: ThreadPool,
    begins: mpsc::Sender<u32>,
    begun: mpsc::Receiver<u32>,
    release: Arc<Mutex<()>>,
}

impl Held {
    fn new() -> Self {
        let (begins, begun) = mpsc::channel();
        Self {
            reactor: Reactor::open().unwrap(),
            pool: ThreadPool::new(2),
            begins,
            begun,
            release: Arc::default(),
        }
    }

    fn work(&self, number: u32) -> Deferred<u32> {
        let (begins, release) = (self.begins.clone(), Arc::clone(&self.release));
        defer_to_thread_pool(&self.reactor, &self.pool, move || {
            begins.send(number).unwrap();
            drop(release.lock());
            number
        })
    }
}

#[test]
fn d14_a_pool_begins_work_in_order_and_no_more_than_it_has_threads() {
    let held = Held::new();
    let release = Arc::clone(&held.release);
    let released = release.lock().unwrap();
    let work: Vec<_> = (0..5).map(|number| held.work(number)).collect();
    let mut begun = [held.begun.recv().unwrap(), held.begun.recv().unwrap()];
    begun.sort_unstable();
    assert_eq!(begun, [0, 1]);
    assert!(held.begun.try_recv().is_err());
    drop(released);
    let results = run_for(&held.reactor, gather_results(work)).unwrap();
    assert_eq!(results, [0, 1, 2, 3, 4]);
    assert_eq!(held.begun.try_iter().count(), 3);
}

#[test]
fn d14_work_that_is_cancelled_while_it_waits_for_a_thread_never_begins() {
    let held = Held::new();
    let release = Arc::clone(&held.release);
    let released = release.lock().unwrap();
    let [first, second, waiting, last] = [0, 1, 2, 3].map(|number| held.work(number));
    waiting.cancel();
    assert!(
        waiting
            .take_result()
            .unwrap()
            .unwrap_err()
            .is::<Cancelled>()
    );
    drop(released);
    let results = run_for(&held.reactor, gather_results(vec![first, second, last]));
    assert_eq!(results.unwrap(), [0, 1, 3]);
    let mut begun: Vec<_> = held.begun.try_iter().collect();
    begun.sort_unstable();
    assert_eq!(begun, [0, 1, 3]);
}

#[test]
fn d14_panics_do_not_use_up_the_threads_of_a_pool() {
    let held = Held::new();
    poetry::panics::silence_contained();
    for _ in 0..5 {
        let work = defer_to_thread_pool(&held.reactor, &held.pool, || -> u32 { panic!("hot") });
        let failure = run_for(&held.reactor, work).unwrap_err();
        assert_eq!(failure.trap::<Panicked>().unwrap().0, "hot");
    }
    assert_eq!(run_for(&held.reactor, held.work(7)).unwrap(), 7);
}

#[test]
fn d14_a_dropped_pool_waits_for_what_has_begun_and_drops_the_rest() {
    let Held {
        reactor,
        pool,
        begins,
        begun,
        release,
    } = Held::new();
    let released = release.lock().unwrap();
    for number in 0..3 {
        let (begins, release) = (begins.clone(), Arc::clone(&release));
        drop(defer_to_thread_pool(&reactor, &pool, move || {
            begins.send(number).unwrap();
            drop(release.lock());
            begins.send(number + 10).unwrap();
        }));
    }
    drop(begins);
    let first = [begun.recv().unwrap(), begun.recv().unwrap()];
    let dropping = thread::spawn(move || drop(pool));
    // The third has been dropped once nothing else holds what it owns.
    while Arc::strong_count(&release) > 3 {
        thread::yield_now();
    }
    drop(released);
    dropping.join().unwrap();
    let ended: Vec<u32> = begun.try_iter().collect();
    assert_eq!(ended.len(), 2);
    assert!(first.iter().all(|number| ended.contains(&(number + 10))));
}
