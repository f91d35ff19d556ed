//! Clients of the balanced servers. Short ones make a request a connection, long ones as many as the connection lasts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::support::{DEADLINE, netstring};

/// Clients with a connection for each request.
pub(crate) const SHORT: usize = 8;
/// Clients that keep their connection.
pub(crate) const LONG: usize = 4;

const ADDRESS: (&str, u16) = ("10.0.0.1", 10100);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The reply arrived whole.
    Answered,
    /// The connection ended before the first byte of the reply, although it was new.
    Lost,
    /// The same on a connection that had carried replies: the server may have closed it before the request came. The client asks
    /// again on a new one.
    Crossed,
    /// The reply is cut, or another's.
    Wrong,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    serial: AtomicUsize,
    outcomes: Mutex<Vec<Outcome>>,
    /// Replies of each client.
    replies: Mutex<Vec<usize>>,
    changed: Condvar,
}

/// The running clients.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Starts all clients.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        *shared.replies.lock().unwrap() = vec![0; SHORT + LONG];
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match number < SHORT {
                true => short(number, &shared),
                false => long(number, &shared),
            })
        };
        let threads = (0..SHORT + LONG).map(start).collect();
        Self { shared, threads }
    }

    /// Waits until every client has had `replies` more.
    pub(crate) fn wait_for(&self, replies: usize) {
        let begin = Instant::now();
        let mut now = self.shared.replies.lock().unwrap();
        let goal: Vec<usize> = now.iter().map(|had| had + replies).collect();
        while now.iter().zip(&goal).any(|(has, goal)| has < goal) {
            let waited = self.shared.changed.wait_timeout(now, DEADLINE).unwrap();
            assert!(begin.elapsed() < DEADLINE, "{:?} of {goal:?}", *waited.0);
            now = waited.0;
        }
    }

    /// Returns how many requests have ended as `outcome` so far.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        let outcomes = self.shared.outcomes.lock().unwrap();
        outcomes.iter().filter(|ended| **ended == outcome).count()
    }

    /// Stops all clients.
    pub(crate) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Shared {
    /// Returns a request of its own, every fourth of which computes for a while, and the reply to it.
    fn request(&self) -> (Vec<u8>, Vec<u8>) {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        match serial % 4 {
            0 => (
                netstring(&format!("burn.r{serial}")),
                netstring(&format!("r{serial}")),
            ),
            _ => (
                netstring(&format!("shout.r{serial}")),
                netstring(&format!("R{serial}")),
            ),
        }
    }

    fn note(&self, number: usize, outcome: Outcome) {
        self.outcomes.lock().unwrap().push(outcome);
        if outcome == Outcome::Answered {
            self.replies.lock().unwrap()[number] += 1;
            self.changed.notify_all();
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(ADDRESS).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn short(number: usize, shared: &Shared) {
    while shared.goes_on() {
        let (request, reply) = shared.request();
        let mut stream = connect();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut got = Vec::new();
        // A reset shows as too few bytes.
        let _ = stream.read_to_end(&mut got);
        shared.note(number, outcome(&got, &reply));
    }
}

fn long(number: usize, shared: &Shared) {
    let mut stream = connect();
    let mut is_new = true;
    while shared.goes_on() {
        let (request, reply) = shared.request();
        loop {
            let _ = stream.write_all(&request);
            let mut got = Vec::new();
            // As many bytes as the reply has, unless the connection ends before.
            let _ = (&mut stream).take(reply.len() as u64).read_to_end(&mut got);
            let ended = match outcome(&got, &reply) {
                Outcome::Lost if !is_new => Outcome::Crossed,
                outcome => outcome,
            };
            shared.note(number, ended);
            is_new = ended != Outcome::Answered;
            if !is_new {
                break;
            }
            stream = connect();
        }
    }
}

fn outcome(got: &[u8], reply: &[u8]) -> Outcome {
    match got {
        [] => Outcome::Lost,
        got if got == reply => Outcome::Answered,
        _ => Outcome::Wrong,
    }
}
