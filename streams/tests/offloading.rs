//! Heavy requests (S25) as far as this model is particular: how many are computed at once, and what a cut does to them. A gate
//! holds them, so that no test depends on time. The conformance suite tests the rest.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::limits::OFFLOADED_MAX;
use poetry::transform::BURN;
use poetry::{Clock, Model, Options, Server, Service, TransformService};
use streams::Streams;

const GENEROUS: Duration = Duration::from_secs(10);

/// A server whose heavy transforms say that they have begun, and wait until each has been released.
struct Gated {
    /// Released when it is dropped, before the server is.
    release: Option<mpsc::Sender<()>>,
    begun: mpsc::Receiver<()>,
    server: Box<dyn Server>,
}

fn serve() -> Gated {
    poetry::panics::silence_contained();
    let (begins, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (released, calls) = (Mutex::new(released), AtomicU32::new(0));
    let clock = Clock::new(move || {
        // The test may have ended. A transform asks for the time once when it begins, and then until it has computed enough.
        let _ = begins.send(());
        let _ = released
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        BURN * calls.fetch_add(1, Ordering::SeqCst)
    });
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(clock),
        offload: true,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options::new(Clock::stopped());
    let server = Streams.serve(listener, service, &options, Arc::new(Unobserved));
    Gated {
        release: Some(release),
        begun,
        server: server.unwrap(),
    }
}

impl Gated {
    fn send(&self, requests: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.server.address()).unwrap();
        client.set_read_timeout(Some(GENEROUS)).unwrap();
        client.write_all(requests).unwrap();
        client
    }

    /// Waits until one more transform has begun.
    fn wait_for_one(&self) {
        self.begun.recv_timeout(GENEROUS).unwrap();
    }

    fn wait_until_in_flight(&self, requests: u64) {
        while self.server.counters().in_flight != requests {
            thread::yield_now();
        }
    }
}

fn reply(client: &mut TcpStream) -> String {
    let mut reply = [0; 4];
    client.read_exact(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn s25_a_bounded_number_of_heavy_requests_is_computed_at_once_and_the_others_wait() {
    let mut gated = serve();
    let requests = OFFLOADED_MAX + 2;
    let clients = (0..requests).map(|number| gated.send(format!("6:burn.{number},").as_bytes()));
    let mut clients: Vec<_> = clients.collect();
    gated.wait_until_in_flight(requests as u64);
    (0..OFFLOADED_MAX).for_each(|_| gated.wait_for_one());
    // All have been given to the semaphore, which has begun no other.
    assert!(gated.begun.try_recv().is_err());
    gated.release = None;
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(reply(client), format!("1:{number},"));
    }
}

#[test]
fn s25_s21_a_heavy_request_is_cut_when_the_grace_is_over() {
    let mut gated = serve();
    let mut client = gated.send(b"6:burn.a,7:shout.b,");
    gated.wait_for_one();
    let Gated { server, .. } = gated;
    let stopping = thread::spawn(move || server.shutdown(Duration::ZERO));
    let read = client.read(&mut [0]);
    assert_eq!(
        read.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionReset)
    );
    // The shutdown waits for what computes.
    gated.release = None;
    let summary = stopping.join().unwrap();
    assert_eq!((summary.finished, summary.cut), (0, 1));
    summary.counters.check().unwrap();
    let counts = summary.counters;
    assert_eq!(
        (counts.requests, counts.failed, counts.closed.cut),
        (1, 1, 1)
    );
}
