//! Part 16: a server in operation.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use poetry::event::{Interest, Scene, Unobserved};
use poetry::{Clock, Event, Kind, Model, Observer, Options, Pace, PoemService};
use poetry::{Refusal, Reporter, Role, Server, Service, TransformService};
use solutions::wait_until;

const LINES_PER_SECOND: u64 = 10;

/// Keeps a line for each refusal, but few in a second.
#[derive(Default)]
struct BriefLog(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    kept: Vec<String>,
    second: u64,
    refusals: u64,
}

impl Observer for BriefLog {
    fn interest(&self) -> Interest {
        Interest::REFUSED
    }

    /// The time is that of the event; a clock of its own could differ.
    fn observe(&self, event: &Event) {
        if let Kind::Refused(refusal) = &event.kind {
            let mut lines = self.0.lock().unwrap();
            lines.add(event.at.as_secs(), refusal);
        }
    }
}

impl Lines {
    fn add(&mut self, second: u64, refusal: &Refusal) {
        if mem::replace(&mut self.second, second) != second {
            self.end_second();
        }
        self.refusals += 1;
        if self.refusals <= LINES_PER_SECOND {
            self.kept.push(refusal.to_string());
        }
    }

    fn end_second(&mut self) {
        let left_out = mem::take(&mut self.refusals).saturating_sub(LINES_PER_SECOND);
        if left_out > 0 {
            self.kept.push(format!("{left_out} more"));
        }
    }
}

#[test]
fn ten_lines_a_second_and_a_count() {
    let second = Arc::new(AtomicU64::new(0));
    let reads = Arc::clone(&second);
    let clock = Clock::new(move || Duration::from_secs(reads.load(Ordering::Relaxed)));
    let log = Arc::new(BriefLog::default());
    let reporter = Reporter::new("a test", Role::TransformServer, clock, log.clone());
    let refuse = || reporter.report(Scene::default(), Kind::Refused(Refusal::NoDot));
    (0..13).for_each(|_| refuse());
    second.store(1, Ordering::Relaxed);
    refuse();
    let lines = mem::take(&mut log.0.lock().unwrap().kept);
    assert_eq!(lines.len(), 12);
    assert_eq!(
        lines[9..],
        ["no dot in the request", "3 more", "no dot in the request"]
    );
}

/// Serves four characters, one at a time.
fn serve_slowly(model: &dyn Model, delay: Duration) -> Box<dyn Server> {
    let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::MIN,
        delay,
    };
    let poem = "Ahoy".into();
    let service = Service::Poem(PoemService { poem, pace });
    let options = Options::new(models::clock());
    let server = model.serve(listener, service, &options, Arc::new(Unobserved));
    server.unwrap()
}

#[test]
fn a_poem_in_flight_is_finished_or_cut() {
    for &model in models::ALL {
        // A poem server counts each connection as a request, which is in flight until its poem has been sent.
        let connect = |server: &dyn Server| {
            let client = TcpStream::connect(server.address()).unwrap();
            wait_until("the poem is in flight", || server.counters().accepted == 1);
            client
        };
        let server = serve_slowly(model, Duration::from_millis(50));
        let client = connect(&*server);
        // It closes when it has read the poem: the server lingers until then (S7).
        let reads = thread::spawn(move || io::read_to_string(client).unwrap());
        let summary = server.shutdown(Duration::from_secs(60));
        let poem = reads.join().unwrap();
        assert_eq!(
            (poem.as_str(), summary.cut),
            ("Ahoy", 0),
            "{}",
            model.name()
        );

        let server = serve_slowly(model, Duration::from_secs(60));
        let mut client = connect(&*server);
        let summary = server.shutdown(Duration::from_millis(50));
        assert!(client.read_to_end(&mut Vec::new()).is_err(), "a reset");
        assert_eq!((summary.finished, summary.cut), (0, 1), "{}", model.name());
    }
}

/// Counts what a server reports.
#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    closed: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Observer for Tally {
    fn interest(&self) -> Interest {
        Interest::ACCEPTED | Interest::CLOSED | Interest::ANSWERED | Interest::REFUSED
    }

    fn observe(&self, event: &Event) {
        let (counter, count) = match event.kind {
            Kind::Accepted => (&self.accepted, 1),
            Kind::Closed(_) => (&self.closed, 1),
            Kind::Answered { requests } => (&self.answered, requests),
            Kind::Refused(_) => (&self.refused, 1),
            _ => return,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

#[test]
fn events_and_counts_agree() {
    for model in models::ALL {
        let tally = Arc::new(Tally::default());
        let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let keep_alive = TransformService {
            keep_alive: true,
            ..TransformService::default()
        };
        let service = Service::Transform(keep_alive);
        let options = Options::new(models::clock());
        let server = model.serve(listener, service, &options, tally.clone());
        let server = server.unwrap();
        for requests in ["7:shout.a,7:shout.b,", "7:shout.a,9:no-dot-in,"] {
            let mut client = TcpStream::connect(server.address()).unwrap();
            client.write_all(requests.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            client.read_to_end(&mut Vec::new()).unwrap();
        }
        let counts = server.shutdown(Duration::from_secs(60)).counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let events = [
            &tally.accepted,
            &tally.closed,
            &tally.answered,
            &tally.refused,
        ]
        .map(of);
        let (closed, refused) = (counts.closed.total(), counts.refused.total());
        let counted = [counts.accepted, closed, counts.answered, refused];
        assert_eq!(events, [2, 2, 3, 1], "{}", model.name());
        assert_eq!(events, counted, "{}", model.name());
    }
}
