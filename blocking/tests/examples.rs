//! The steps of the examples: each of the first seven fetches the same poems from its arguments, in a call and as a process;
//! each starts its own servers without arguments.
#![allow(clippy::duplicate_mod)] // Every step includes what the steps share.

#[path = "../examples/blocking_00_by_hand.rs"]
#[allow(dead_code)]
mod step_0;
#[path = "../examples/blocking_01_one_after_another.rs"]
#[allow(dead_code)] // its `main`
mod step_1;
#[path = "../examples/blocking_02_a_thread_each.rs"]
#[allow(dead_code)]
mod step_2;
#[path = "../examples/blocking_03_scoped_threads.rs"]
#[allow(dead_code)]
mod step_3;
#[path = "../examples/blocking_04_bounded.rs"]
#[allow(dead_code)]
mod step_4;
#[path = "../examples/blocking_05_deadlines.rs"]
#[allow(dead_code)]
mod step_5;
#[path = "../examples/blocking_06_the_client.rs"]
#[allow(dead_code)]
mod step_6;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use blocking::{RunningServer, serve_poem};
use poetry::{FramedPoem, Library, LibraryService, Pace, Peer, Poem, PoemService};

const POEM: &str = "Two verses with an ü,\nand in no hurry.\n";

type Fetched = Result<Poem, Box<dyn Error + Send + Sync>>;
type GetAll = fn(&[Peer]) -> Vec<Fetched>;

/// Tests one step: its function and its process.
fn check_step(name: &str, get_all: GetAll) {
    fetches_all(get_all);
    runs_without_arguments(name);
    takes_bare_ports(name);
    exits_with_1_if_a_poem_is_missing(name);
    exits_with_2_on_a_bad_argument(name);
}

fn serve(pace: Pace) -> RunningServer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let poem = POEM.into();
    serve_poem(listener, PoemService { poem, pace }).unwrap()
}

/// An address on which nothing listens.
fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn fetches_all(get_all: GetAll) {
    let fast = serve(Pace::Fast);
    let slow = serve(Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(1),
    });
    let peers = [
        slow.address(),
        unused_address(),
        fast.address(),
        slow.address(),
    ];
    let poems = get_all(&peers.map(Peer::from));
    let poems: Vec<_> = poems
        .into_iter()
        .map(|poem| poem.ok().map(|poem| poem.to_string()))
        .collect();
    let poem = Some(POEM.to_owned());
    assert_eq!(poems, [poem.clone(), None, poem.clone(), poem]);
    assert!(get_all(&[]).is_empty());
}

/// Fetches from two servers, the first of which sends nothing until the second has a connection: a client that fetches one
/// poem after another never gets there.
fn fetches_at_once(get_all: GetAll) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let peers = listeners
        .each_ref()
        .map(|listener| Peer::from(listener.local_addr().unwrap()));
    let server = std::thread::spawn(move || {
        let clients = listeners.map(|listener| listener.accept().unwrap().0);
        for mut client in clients {
            client.write_all(POEM.as_bytes()).unwrap();
        }
    });
    let poems = get_all(&peers);
    server.join().unwrap();
    for poem in poems {
        assert_eq!(poem.unwrap().as_str(), POEM);
    }
}

/// Runs the example's program, which `cargo test` builds beside this test's directory.
fn run(name: &str, arguments: &[String]) -> Output {
    let program = program(name);
    let run = Command::new(&program).args(arguments).output();
    run.unwrap_or_else(|error| panic!("{}: {error} (build the examples)", program.display()))
}

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    deps.parent().unwrap().join("examples").join(name)
}

fn runs_without_arguments(name: &str) {
    let run = run(name, &[]);
    assert!(run.status.success(), "{run:?}");
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(printed.contains("the harbour is not.\n"), "{printed}");
    assert!(printed.contains("then count again.\n"), "{printed}");
}

fn takes_bare_ports(name: &str) {
    let server = serve(Pace::Fast);
    let port = server.address().port().to_string();
    let run = run(name, &[port.clone(), format!("localhost:{port}")]);
    assert!(run.status.success(), "{run:?}");
    let printed = String::from_utf8(run.stdout).unwrap();
    assert_eq!(printed, format!("{POEM}\n{POEM}\n"));
}

fn exits_with_1_if_a_poem_is_missing(name: &str) {
    let address = unused_address().to_string();
    let run = run(name, std::slice::from_ref(&address));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let message = String::from_utf8(run.stderr).unwrap();
    assert!(message.contains(&address), "{message}");
}

fn exits_with_2_on_a_bad_argument(name: &str) {
    let run = run(name, &["70000".to_owned()]);
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    let message = String::from_utf8(run.stderr).unwrap();
    assert!(message.contains("70000"), "{message}");
    assert!(run.stdout.is_empty());
}

#[test]
fn step_0_by_hand() {
    check_step("blocking_00_by_hand", step_0::get_all);
}

#[test]
fn step_1_one_after_another() {
    check_step("blocking_01_one_after_another", step_1::get_all);
}

#[test]
fn step_2_a_thread_each() {
    check_step("blocking_02_a_thread_each", step_2::get_all);
    fetches_at_once(step_2::get_all);
}

#[test]
fn step_3_scoped_threads() {
    check_step("blocking_03_scoped_threads", step_3::get_all);
    fetches_at_once(step_3::get_all);
}

#[test]
fn step_4_bounded() {
    check_step("blocking_04_bounded", step_4::get_all);
    fetches_at_once(step_4::get_all);
}

#[test]
fn step_5_deadlines() {
    check_step("blocking_05_deadlines", step_5::get_all);
    fetches_at_once(step_5::get_all);
}

#[test]
fn step_6_the_client() {
    check_step("blocking_06_the_client", step_6::get_all);
    fetches_at_once(step_6::get_all);
}

#[test]
fn step_7_a_library() {
    let run_it = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(|&it| it.to_owned()).collect();
        run("blocking_07_library", &arguments)
    };
    let own = run_it(&[]);
    assert!(own.status.success(), "{own:?}");
    let printed = String::from_utf8(own.stdout).unwrap();
    assert!(printed.contains("the harbour is not.\n") && printed.contains("then count again.\n"));

    let star = FramedPoem::from(&Poem::from(POEM));
    let library = Library::new([("star".parse().unwrap(), star)].into());
    let service = LibraryService {
        library,
        keep_alive: false,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = blocking::serve_library(listener, service).unwrap();
    let port = server.address().port().to_string();
    let named = run_it(&[&port, "star", "moon"]);
    assert_eq!(named.status.code(), Some(1), "{named:?}");
    assert_eq!(
        String::from_utf8(named.stdout).unwrap(),
        format!("{POEM}\n")
    );
    assert!(
        String::from_utf8(named.stderr)
            .unwrap()
            .starts_with("moon: ")
    );
    assert_eq!(run_it(&[&port, "../star"]).status.code(), Some(2));
}

#[test]
fn step_8_a_proxy() {
    let own = run("blocking_08_proxy", &[]);
    assert!(own.status.success(), "{own:?}");
    let printed = String::from_utf8(own.stdout).unwrap();
    assert_eq!(printed.matches("one came late.\n").count(), 2, "{printed}");
    assert!(printed.ends_with("fetches: 1\n"), "{printed}");

    let server = serve(Pace::Fast);
    let port = server.address().port().to_string();
    let other = run("blocking_08_proxy", &[port]);
    assert!(other.status.success(), "{other:?}");
    assert_eq!(server.counters().accepted, 1);
    let dead = run("blocking_08_proxy", &[unused_address().to_string()]);
    assert_eq!(dead.status.code(), Some(1), "{dead:?}");
}

#[test]
fn step_9_a_slow_server() {
    let own = run("blocking_09_slow_server", &[]);
    assert!(own.status.success(), "{own:?}");
    let printed = String::from_utf8(own.stdout).unwrap();
    assert_eq!(
        printed.matches("one came late.\nafter ").count(),
        2,
        "{printed}"
    );

    let mut command = Command::new(program("blocking_09_slow_server"));
    let mut serving = command.arg("0").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(serving.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let poems = [(); 2].map(|()| blocking::get_poetry(address));
    serving.kill().unwrap();
    serving.wait().unwrap();
    for poem in poems {
        assert_eq!(
            poem.unwrap().as_str(),
            "Nine boats came home\nand one came late.\n"
        );
    }
    let bad = run("blocking_09_slow_server", &["70000".to_owned()]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}
