//! T1, S10: of more poems than get a thread at once, the last gets one too, though nobody ends. Alone in its file, since
//! it needs many descriptors and threads.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use blocking::{PoemClient, pace};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poetry::event::Interest;
use poetry::{Cancel, Clock, Event, FetchFailure, FetchRequest, Observer, Options};
use socket2::{Domain, Socket, Type};

const POEMS: usize = pace::AT_ONCE as usize + 200;
const DESCRIPTORS: u64 = POEMS as u64 + 256;

/// Calls everything off as soon as a poem is there.
struct UntilOneHasCome(Cancel);

impl Observer for UntilOneHasCome {
    fn interest(&self) -> Interest {
        Interest::FINISHED
    }

    fn observe(&self, _: &Event) {
        self.0.all();
    }
}

#[test]
fn t1_beyond_the_burst_a_poem_gets_its_thread_though_nobody_ends() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < DESCRIPTORS {
        println!("skipped: needs {DESCRIPTORS} descriptors");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let (silent, speaks) = (listen(), listen());
    let request = |listener: &TcpListener| FetchRequest {
        peer: listener.local_addr().unwrap().into(),
        via: None,
    };
    let mut requests = vec![request(&silent); POEMS];
    requests[POEMS - 1] = request(&speaks);
    let server = thread::spawn(move || {
        let (mut client, _) = speaks.accept().unwrap();
        client.write_all(b"Ahoy").unwrap();
    });

    let cancel = Cancel::new();
    let client = PoemClient::new(&Options::new(Clock::stopped()));
    let observer = Arc::new(UntilOneHasCome(cancel.clone()));
    let outcomes = client.fetch_all(&requests, observer, &cancel);

    server.join().unwrap();
    let (last, others) = outcomes.split_last().unwrap();
    assert_eq!(last.poem.as_deref(), Ok("Ahoy"));
    assert_eq!(others.len(), POEMS - 1);
    for outcome in others {
        let failure = &outcome.poem.as_ref().unwrap_err().failure;
        assert_eq!(failure, &FetchFailure::Cancelled);
    }
}

/// With room for all: those whom nobody accepts are connected, and hear nothing.
fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}
