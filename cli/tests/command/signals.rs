//! How a server stops (S21), with each model.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

use super::support::{
    DEADLINE, Ended, LANTERN, MODELS, Process, Server, closed_port, netstring, quatrain, read_all,
    start_with_blocked_signals,
};

fn each_model(arguments: &[&str], test: impl Fn(Server)) {
    for model in MODELS {
        eprintln!("with {model}");
        test(Server::start(&[arguments, &["--model", model]].concat()));
    }
}

fn ended_with(ended: &Ended, status: i32, words: &str) {
    assert_eq!(ended.status, Some(status), "{ended:?}");
    assert!(ended.stderr.contains(words), "{ended:?}");
}

#[test]
fn s21_a_server_started_with_blocked_signals_reports_and_stops() {
    for model in MODELS {
        let mut server = start_with_blocked_signals(&["serve", "transform", "--model", model]);
        server.wait_until_serving();
        server.signal(Signal::SIGUSR1);
        server.wait_for("\"accepted\":0");
        server.signal(Signal::SIGTERM);
        ended_with(&server.end(), 0, "stopped: 0 finished");
    }
}

#[test]
fn the_floor_started_with_blocked_signals_can_be_stopped() {
    let mut floor = start_with_blocked_signals(&["floor"]);
    floor.wait_until_serving();
    floor.signal(Signal::SIGTERM);
    assert_eq!(floor.signal_at_end(), Some(Signal::SIGTERM as i32));
}

#[test]
fn s21_a_server_with_a_full_stdout_pipe_serves_and_stops() {
    let (unread, mut full) = std::io::pipe().unwrap();
    let capacity = fcntl(&full, FcntlArg::F_GETPIPE_SZ).unwrap();
    full.write_all(&vec![b'x'; capacity.try_into().unwrap()])
        .unwrap();
    let port = closed_port();
    let mut command = quatrain(["serve", "transform", "--port", &port, "--log", "debug"]);
    let mut process = Process::start_as(command.stdout(full).stderr(Stdio::piped()));
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let start = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        thread::yield_now();
    };
    stream.write_all(&netstring("shout.x")).unwrap();
    assert_eq!(read_all(stream), netstring("X"));
    process.wait_for("accepted");
    process.signal(Signal::SIGTERM);
    ended_with(&process.end(), 0, "stopped");
    drop(unread);
}

#[test]
fn s21_an_idle_server_ends_with_status_0_on_sigterm_and_on_sigint() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        each_model(&["transform"], |server| {
            server.process.signal(signal);
            ended_with(&server.process.end(), 0, "stopped: 0 finished");
        });
    }
}

#[test]
fn s21_an_idle_keep_alive_connection_is_closed_with_fin() {
    each_model(
        &["transform", "--keep-alive", "--grace", "20s"],
        |mut server| {
            let mut stream = server.ask(&netstring("shout.x"));
            let mut reply = [0; 4];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply.as_slice(), netstring("X"));
            server.process.signal(Signal::SIGTERM);
            server.process.wait_for("stopped");
            assert_eq!(read_all(stream), b"");
            ended_with(&server.process.end(), 0, "");
        },
    );
}

#[test]
fn s21_a_request_in_flight_is_answered_and_the_status_is_0() {
    each_model(
        &["transform", "--keep-alive", "--log", "trace"],
        |mut server| {
            let (mut stream, rest) = server.in_mid_request();
            server.process.signal(Signal::SIGTERM);
            wait_until_refused(server.address);
            stream.write_all(&rest).unwrap();
            assert_eq!(read_all(stream), netstring("X"));
            ended_with(&server.process.end(), 0, "stopped: ");
        },
    );
}

/// Waits until connections to `address` are refused: the shutdown has started then.
fn wait_until_refused(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < DEADLINE, "it still accepts");
        thread::yield_now();
    }
}

#[test]
fn s21_a_poem_in_flight_is_sent_to_its_end() {
    let pace = ["--num-bytes", "60", "--delay", "20ms"];
    each_model(&[&["poem", LANTERN], &pace[..]].concat(), |server| {
        let mut stream = server.connect();
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        server.process.signal(Signal::SIGTERM);
        let poem = [&first[..], &read_all(stream)].concat();
        assert_eq!(poem, std::fs::read(LANTERN).unwrap());
        ended_with(&server.process.end(), 0, "stopped: 1 finished");
    });
}

#[test]
fn s21_a_request_still_in_flight_after_the_grace_is_cut_and_the_status_is_1() {
    each_model(
        &["transform", "--grace", "50ms", "--log", "trace"],
        |mut server| {
            let (_stream, _) = server.in_mid_request();
            server.process.signal(Signal::SIGTERM);
            ended_with(&server.process.end(), 1, "0 finished, 1 cut");
        },
    );
}

#[test]
fn s21_a_second_signal_ends_a_server_at_once_with_status_1() {
    each_model(
        &["transform", "--grace", "10m", "--log", "trace"],
        |mut server| {
            let (_stream, _) = server.in_mid_request();
            server.process.signal(Signal::SIGINT);
            server.process.wait_for("stopping");
            server.process.signal(Signal::SIGTERM);
            ended_with(&server.process.end(), 1, "ended at once");
        },
    );
}
