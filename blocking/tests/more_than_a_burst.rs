//! T1, S10: of more poems than get a thread at once, the last gets one too although no other poem ends; and the threads that
//! end release their memory. Alone in its file, since it counts the memory maps of its process.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use blocking::PoemClient;
use poetry::event::Interest;
use poetry::{Cancel, Clock, Event, FetchFailure, FetchRequest, Observer, Options};

use common::{has_room_for, listen};

const POEMS: usize = PoemClient::THREADS_AT_ONCE as usize + 200;
const DESCRIPTORS: u64 = POEMS as u64 + 256;
const DEADLINE: Duration = Duration::from_secs(30);

/// Sends a message when a poem has arrived.
struct Finished(mpsc::Sender<()>);

impl Observer for Finished {
    fn interest(&self) -> Interest {
        Interest::FINISHED
    }

    fn observe(&self, _: &Event) {
        let _ = self.0.send(());
    }
}

#[test]
fn t1_a_poem_beyond_the_burst_gets_a_thread_and_ended_threads_release_their_memory() {
    if !has_room_for(DESCRIPTORS) {
        return;
    }
    let (silent, speaking) = (listen(), listen());
    let request = |listener: &TcpListener| FetchRequest::new(listener.local_addr().unwrap());
    let mut requests = vec![request(&silent); POEMS];
    requests[POEMS - 1] = request(&speaking);

    let (cancel, maps_before) = (Cancel::new(), maps());
    let (sender, finished) = mpsc::channel();
    let client = PoemClient::new(&Options::new(Clock::stopped()));
    let outcomes = thread::scope(|scope| {
        let observer = Arc::new(Finished(sender));
        let fetch = scope.spawn(|| client.fetch_all(&requests, observer, &cancel));
        let (mut peer, _) = speaking.accept().unwrap();
        peer.write_all(b"Ahoy").unwrap();
        drop(peer);
        finished.recv_timeout(DEADLINE).unwrap();
        // So every poem has a thread. All but the first are cancelled.
        (1..POEMS).for_each(|task| cancel.task(task));
        // The C library keeps some 40 MB of stacks: 310, at two maps each. All stacks would be over two thousand maps.
        let begun = Instant::now();
        while maps() > maps_before + POEMS {
            assert!(begun.elapsed() < DEADLINE, "{} maps", maps());
            thread::yield_now();
        }
        cancel.all();
        fetch.join().unwrap()
    });
    let (last, others) = outcomes.split_last().unwrap();
    assert_eq!(last.poem.as_deref(), Ok("Ahoy"));
    assert_eq!(others.len(), POEMS - 1);
    for outcome in others {
        let failure = &outcome.poem.as_ref().unwrap_err().failure;
        assert_eq!(failure, &FetchFailure::Cancelled);
    }
}

fn maps() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}
