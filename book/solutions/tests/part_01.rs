//! Part 1: tasks that wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use blocking::{FetchError, Peer, Poem};
use callbacks::Clock;
use solutions::PlayedServer;

type Fetched = Result<Poem, FetchError>;

fn one_after_another(peers: &[Peer]) -> Vec<Fetched> {
    let fetch = |peer: &Peer| blocking::get_poetry(peer.clone());
    peers.iter().map(fetch).collect()
}

fn at_once(peers: &[Peer]) -> Vec<Fetched> {
    thread::scope(|scope| {
        let fetch = |peer: &Peer| {
            let peer = peer.clone();
            scope.spawn(move || blocking::get_poetry(peer))
        };
        let threads: Vec<_> = peers.iter().map(fetch).collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn the_server_sees_how_many_clients_come_at_once() {
    let server = PlayedServer::open().unwrap();
    let peers: [Peer; 3] = [(); 3].map(|()| server.address().unwrap().into());
    let all_arrived = |poems: Vec<Fetched>| {
        let arrived = poems
            .iter()
            .flatten()
            .filter(|poem| poem.as_str() == "Ahoy");
        assert_eq!(arrived.count(), peers.len());
    };
    thread::scope(|scope| {
        let fetching = scope.spawn(|| one_after_another(&peers));
        for _ in &peers {
            let mut client = server.accept().unwrap();
            assert!(!server.has_another().unwrap()); // The next comes when this one has its poem.
            client.write_all(b"Ahoy").unwrap();
        }
        all_arrived(fetching.join().unwrap());

        let fetching = scope.spawn(|| at_once(&peers));
        let clients = [(); 3].map(|()| server.accept().unwrap()); // None has a byte, and all have come.
        for mut client in clients {
            client.write_all(b"Ahoy").unwrap();
        }
        all_arrived(fetching.join().unwrap());
    });
}

/// What a task does after a step.
enum Step {
    Waits,
    Ends,
}

/// A task: each call runs it until it has to wait.
type Task = Box<dyn FnMut() -> Step>;

/// Runs the tasks in this thread: each in its turn, until all have ended.
fn run(tasks: Vec<Task>) {
    let mut tasks = VecDeque::from(tasks);
    while let Some(mut task) = tasks.pop_front() {
        match task() {
            Step::Waits => tasks.push_back(task),
            Step::Ends => {}
        }
    }
}

fn reader(name: char, lines: u32, read: &Rc<RefCell<Vec<String>>>) -> Task {
    let (read, mut line) = (Rc::clone(read), 0);
    Box::new(move || {
        line += 1;
        read.borrow_mut().push(format!("{name}{line}"));
        match line == lines {
            true => Step::Ends,
            false => Step::Waits,
        }
    })
}

#[test]
fn tasks_take_turns_in_one_thread() {
    let read = Rc::default();
    let tasks = [('a', 3), ('b', 1), ('c', 2)];
    run(tasks.map(|(name, lines)| reader(name, lines, &read)).into());
    assert_eq!(*read.borrow(), ["a1", "b1", "c1", "a2", "c2", "a3"]);
}

const SECOND: Duration = Duration::from_secs(1);

/// Waits for so many seconds, and for so many, each wait after the other; then calls `done`.
fn wait_in_turn(clock: &Clock, waits: &'static [u32], done: Box<dyn FnOnce()>) {
    let Some((&first, others)) = waits.split_first() else {
        return done();
    };
    let next = clock.clone();
    clock.call_later(SECOND * first, move || wait_in_turn(&next, others, done));
}

/// Begins every wait now; the one that ends last calls `done`.
fn wait_at_once(clock: &Clock, waits: &[u32], done: Box<dyn FnOnce()>) {
    let done = Rc::new(Cell::new(Some(done)));
    let left = Rc::new(Cell::new(waits.len()));
    for &wait in waits {
        let (done, left) = (Rc::clone(&done), Rc::clone(&left));
        clock.call_later(SECOND * wait, move || {
            left.set(left.get() - 1);
            if left.get() == 0
                && let Some(done) = done.take()
            {
                done();
            }
        });
    }
}

/// Returns how many seconds pass on a clock of its own until what `begin` began is done.
fn seconds(begin: impl FnOnce(&Clock, Box<dyn FnOnce()>)) -> u64 {
    let (clock, is_done) = (Clock::new(), Rc::new(Cell::new(false)));
    let ends = Rc::clone(&is_done);
    begin(&clock, Box::new(move || ends.set(true)));
    while !is_done.get() {
        clock.advance(SECOND);
    }
    clock.now().as_secs()
}

#[test]
fn waits_add_up_or_overlap() {
    let in_turn = seconds(|clock, done| wait_in_turn(clock, &[3, 1, 2], done));
    let at_once = seconds(|clock, done| wait_at_once(clock, &[3, 1, 2], done));
    assert_eq!((in_turn, at_once), (6, 3));
}
