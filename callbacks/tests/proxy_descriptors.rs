//! S9: the clients of a proxy do not hold the descriptor that their fetch needs. This test has a file of its own because
//! it uses up the descriptors of its process.

#![cfg(unix)]

use std::fs::File;
use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use callbacks::{Callbacks, FetchFailure, ProxyService};
use nix::sys::resource::{Resource, setrlimit};
use poetry::event::Interest;
use poetry::{Clock, Event, Kind, Model, Observer, Options, Service};
use socket2::{Domain, Socket, Type};

const DESCRIPTORS: u64 = 256;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Passes on that a fetch has connected, or that it has failed.
struct Fetches(mpsc::Sender<Kind>);

impl Observer for Fetches {
    fn interest(&self) -> Interest {
        Interest::CONNECTED | Interest::FAILED
    }

    fn observe(&self, event: &Event) {
        self.0.send(event.kind.clone()).unwrap();
    }
}

#[test]
fn s9_a_fetch_has_a_descriptor_although_its_clients_hold_all_others() {
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let service = Service::Proxy(ProxyService {
        upstream: upstream.local_addr().unwrap().into(),
        ttl: None,
    });
    let (sender, fetches) = mpsc::channel();
    let options = Options::new(Clock::stopped());
    let server = Callbacks
        .serve(listener, service, &options, Arc::new(Fetches(sender)))
        .unwrap();
    let mut used_up: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    drop(used_up.pop().unwrap());
    client.connect(&server.address().into()).unwrap(); // Takes the last free descriptor.
    assert_eq!(fetches.recv_timeout(WAIT_MAX).unwrap(), Kind::Connected);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(client.read(&mut [0]).is_err(), "left, so reset");
    let cancelled = fetches.recv_timeout(WAIT_MAX).unwrap();
    assert_eq!(cancelled, Kind::Failed(FetchFailure::Cancelled));
}
