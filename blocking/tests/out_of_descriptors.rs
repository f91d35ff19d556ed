//! A client in a process that is short of descriptors (S15). Each case runs in a process of its own: this program again, with
//! a lower limit.

#![cfg(unix)]

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use blocking::{Event, Interest, Limits, Observer, PoemClient, Unobserved};
use blocking::{Pace, PoemService, ProxyService, RunningServer, TransformService, Via};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poetry::{Cancel, FetchFailure, FetchRequest, Outcome, Poem};

/// More than any case has descriptors.
const POEMS: usize = 200;
/// Descriptors of a process that is short of them: some are open at the start.
const FEW: u64 = 24;
/// A time for which no test waits.
const HOUR: Duration = Duration::from_secs(3_600);

/// Serves a poem that takes a while, and transforms.
fn serve() -> (RunningServer, RunningServer) {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: Duration::from_millis(1),
    };
    let poem = Poem::from("Ahoy");
    let poems = blocking::serve_poem(listen(), PoemService { poem, pace }).unwrap();
    let transforms = blocking::serve_transforms(listen(), TransformService::default()).unwrap();
    (poems, transforms)
}

/// Runs `case`, an ignored test of this program, with the addresses of servers.
fn run(case: &str) {
    let (poems, transforms) = serve();
    let run = Command::new(env::current_exe().unwrap())
        .args(["--exact", case, "--ignored", "--nocapture"])
        .env("POEMS", poems.address().to_string())
        .env("TRANSFORMS", transforms.address().to_string())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{printed}{:?}", run.stderr);
    assert!(printed.contains("1 passed"), "{printed}");
}

fn peer(name: &str) -> SocketAddr {
    env::var(name)
        .expect("run by another test")
        .parse()
        .unwrap()
}

fn allow_few_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, FEW, hard).unwrap();
}

/// Takes every free descriptor.
fn take_all() -> Vec<File> {
    let mut taken = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::NotFound);
                assert!(!taken.is_empty());
                return taken;
            }
        }
    }
}

fn fetch(limits: Limits, requests: &[FetchRequest], observer: Arc<dyn Observer>) -> Vec<Outcome> {
    let mut options = blocking::default_options();
    options.limits = limits;
    PoemClient::new(&options).fetch_all(requests, observer, &Cancel::new())
}

#[test]
fn s15_fetches_wait_for_the_descriptors_of_others() {
    run("many_fetches_with_few_descriptors");
}

#[test]
#[ignore = "run by another test"]
fn many_fetches_with_few_descriptors() {
    allow_few_descriptors();
    let via = Via {
        transform: "shout".to_owned(),
        peer: peer("TRANSFORMS").into(),
    };
    // Longer than a fetch, and shorter than all in turn.
    let limits = Limits {
        connect_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let request = FetchRequest::new(peer("POEMS")).via(via);
    let outcomes = fetch(limits, &vec![request; POEMS], Arc::new(Unobserved));
    for outcome in outcomes {
        assert_eq!(outcome.poem.as_deref(), Ok("AHOY"));
        assert_eq!(outcome.transform_failure, None);
    }
}

#[test]
fn s15_without_a_descriptor_fetches_fail_when_the_connect_timeout_is_over() {
    run("fetches_without_a_descriptor");
}

#[test]
#[ignore = "run by another test"]
fn fetches_without_a_descriptor() {
    allow_few_descriptors();
    let request = FetchRequest::new(peer("POEMS"));
    let taken = take_all();
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    for outcome in fetch(limits, &vec![request; POEMS], Arc::new(Unobserved)) {
        let failure = outcome.poem.unwrap_err().failure;
        let FetchFailure::ConnectionFailed { cause } = failure else {
            panic!("{failure}");
        };
        assert!(cause.contains("open files"), "{cause}");
        assert!(outcome.elapsed >= Duration::from_millis(300));
    }
    drop(taken);
}

#[test]
fn s15_without_a_descriptor_fetches_try_again_until_one_is_free() {
    run("fetches_until_a_descriptor_is_free");
}

#[test]
#[ignore = "run by another test"]
fn fetches_until_a_descriptor_is_free() {
    allow_few_descriptors();
    let request = FetchRequest::new(peer("POEMS"));
    let mut taken = take_all();
    let limits = Limits {
        connect_timeout: HOUR,
        ..Limits::default()
    };
    let (sender, connecting) = mpsc::channel();
    let outcomes = std::thread::scope(|scope| {
        let requests = vec![request; 3];
        let fetch = scope.spawn(move || fetch(limits, &requests, Arc::new(Connects(sender))));
        // Each fetch has begun, and has no descriptor.
        for _ in 0..3 {
            connecting.recv().unwrap();
        }
        taken.pop();
        fetch.join().unwrap()
    });
    for outcome in outcomes {
        assert_eq!(outcome.poem.as_deref(), Ok("Ahoy"));
    }
}

#[test]
fn s9_clients_of_a_proxy_that_hold_every_descriptor_still_get_its_poem() {
    let (poems, _) = serve();
    let mut proxy = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_proxy_with_few_descriptors"])
        .args(["--ignored", "--nocapture"])
        .env("POEMS", poems.address().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let address = printed.find_map(|line| Some(line.unwrap().split_once("at: ")?.1.to_owned()));
    let address: SocketAddr = address.unwrap().parse().unwrap();
    let clients: Vec<_> = (0..FEW)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for mut client in clients {
        let mut poem = String::new();
        client.read_to_string(&mut poem).unwrap();
        assert_eq!(poem, "Ahoy");
    }
    drop(proxy.stdin.take());
    assert!(proxy.wait().unwrap().success());
}

#[test]
#[ignore = "run by another test"]
fn a_proxy_with_few_descriptors() {
    allow_few_descriptors();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = ProxyService {
        upstream: peer("POEMS").into(),
        ttl: Some(Duration::ZERO),
    };
    let proxy = blocking::serve_proxy(listener, service).unwrap();
    // All but two, which clients take as soon as they are free.
    let mut taken = take_all();
    taken.truncate(taken.len() - 2);
    println!("at: {}", proxy.address());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(taken);
    let fetches = proxy.shutdown(Duration::from_secs(10)).counters.fetches;
    assert_eq!((fetches.failed, fetches.cancelled), (0, 0));
}

/// Sends a message for each fetch that starts to connect.
struct Connects(mpsc::Sender<()>);

impl Observer for Connects {
    fn interest(&self) -> Interest {
        Interest::CONNECTING
    }

    fn observe(&self, _: &Event) {
        let _ = self.0.send(());
    }
}
