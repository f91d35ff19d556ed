//! What a server prints and logs, without waiting for a reader.

use std::io::{Read, Write};
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::support::{
    LANTERN, Process, Scratch, Server, closed_port, connect, netstring, quatrain, read_all,
};

#[test]
fn a_poem_server_prints_one_line_with_the_file_as_given_and_serves_it() {
    let server = Server::start(&["poem", LANTERN, "--fast"]);
    let expected = format!("Serving {LANTERN} on {} with callbacks\n", server.address);
    assert_eq!(server.line, expected);
    assert!(server.address.ip().is_loopback());
    assert_eq!(read_all(server.connect()), std::fs::read(LANTERN).unwrap());
    let ended = server.stop();
    assert_eq!((ended.status, ended.stdout), (Some(0), expected));
}

#[test]
fn a_transform_server_prints_one_line_and_answers() {
    let server = Server::start(&["transform", "--model", "blocking"]);
    assert_eq!(
        server.line,
        format!("Serving transforms on {} with blocking\n", server.address)
    );
    assert_eq!(
        read_all(server.ask(&netstring("cummingsify.AHOY"))),
        netstring("ahoy")
    );
}

#[test]
fn t1_a_pool_serves_poems_and_transforms_and_shows_its_threads() {
    const POOL: [&str; 4] = ["--model", "blocking", "--pool", "1"];
    let server = Server::start(&[&["poem", LANTERN, "--fast"], &POOL[..]].concat());
    for _ in 0..2 {
        assert_eq!(read_all(server.connect()), std::fs::read(LANTERN).unwrap());
    }
    let mut server = Server::start(&[&["transform", "--keep-alive"], &POOL[..]].concat());
    let mut holder = server.ask(&netstring("shout.a"));
    holder.read_exact(&mut [0; 4]).unwrap();
    let queued = server.ask(&netstring("shout.b"));
    queued.shutdown(std::net::Shutdown::Write).unwrap();
    server.process.signal(Signal::SIGUSR1);
    server.process.wait_for("1 thread and one that accepts");
    drop(holder);
    assert_eq!(read_all(queued), netstring("B"));
    assert_eq!(server.stop().status, Some(0));
}

#[test]
fn a_file_name_with_a_newline_does_not_make_two_lines() {
    let file = Scratch::file("two\nlines", b"x");
    let server = Server::start(&["poem", file.as_str(), "--fast"]);
    assert_eq!(server.stop().stdout.lines().count(), 1);
}

#[test]
fn a_port_and_an_interface_can_be_chosen() {
    let port = closed_port();
    let server = Server::start(&["transform", "--port", &port, "--iface", "localhost"]);
    assert_eq!(server.address.port().to_string(), port);
    assert!(server.address.ip().is_loopback());
}

#[test]
fn s5_a_server_answers_once_without_keep_alive() {
    let requests = [netstring("shout.a"), netstring("shout.b")].concat();
    let server = Server::start(&["transform"]);
    assert_eq!(read_all(server.ask(&requests)), netstring("A"));
    let server = Server::start(&["transform", "--keep-alive"]);
    let stream = server.ask(&requests);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(stream), [netstring("A"), netstring("B")].concat());
}

#[test]
fn s4_a_refused_request_has_a_line_with_the_client_and_the_reason() {
    let mut server = Server::start(&["transform"]);
    let stream = server.ask(&netstring("sing.a"));
    let client = stream.local_addr().unwrap();
    assert_eq!(read_all(stream), b"");
    let line = server.process.wait_for("refused");
    assert!(
        line.contains(&client.to_string()) && line.contains("unknown transform 'sing'"),
        "{line}"
    );
}

#[test]
fn s20_a_panic_is_logged_once_with_its_message_and_costs_one_connection() {
    let mut server = Server::start(&["transform", "--lab"]);
    assert_eq!(read_all(server.ask(&netstring("crash.x"))), b"");
    let line = server.process.wait_for("panicked");
    assert_eq!(read_all(server.ask(&netstring("shout.x"))), netstring("X"));
    let ended = server.stop();
    assert_eq!(
        ended.stderr.matches("panicked").count(),
        1,
        "{line}{}",
        ended.stderr
    );
    assert_eq!(ended.status, Some(0));
}

#[test]
fn s20_without_lab_there_is_no_crash() {
    let mut server = Server::start(&["transform"]);
    assert_eq!(read_all(server.ask(&netstring("crash.x"))), b"");
    server.process.wait_for("unknown transform 'crash'");
}

#[test]
fn s22_refusals_without_a_line_are_counted() {
    const REFUSALS: u64 = 300;
    let server = Server::start(&["transform"]);
    for _ in 0..REFUSALS {
        assert_eq!(read_all(server.ask(b"x")), b"");
    }
    let log = server.stop().stderr;
    let lines = log
        .lines()
        .filter(|line| line.contains("refused a request"))
        .count() as u64;
    let counted = log
        .lines()
        .filter_map(|line| line.split_once("refused ")?.1.split_once(" more"));
    let counted: u64 = counted
        .map(|(count, _)| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(lines + counted, REFUSALS, "{log}");
    assert!(lines >= 10 && counted > 0, "{log}");
}

#[test]
fn s22_a_log_can_be_turned_off_and_up() {
    let server = Server::start(&["transform", "--log", "off"]);
    assert_eq!(read_all(server.ask(b"x")), b"");
    let log = server.stop().stderr;
    assert_eq!(log.lines().count(), 1, "only the counts: {log}");
    let mut server = Server::start(&["transform", "--log", "debug"]);
    drop(server.connect());
    server.process.wait_for("accepted");
    server.process.wait_for("closed");
}

#[test]
fn s22_a_server_with_a_closed_stdout_serves() {
    let port = closed_port();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = quatrain(["serve", "transform", "--port", &port, "--log", "info"]);
    let mut process = Process::start_as(command.stdout(writer).stderr(Stdio::piped()));
    process.wait_for("cannot print the address");
    let mut stream = connect(format!("127.0.0.1:{port}").parse().unwrap());
    stream.write_all(&netstring("shout.x")).unwrap();
    assert_eq!(read_all(stream), netstring("X"));
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().status, Some(0));
}

#[test]
fn s22_a_full_log_pipe_stalls_neither_service_nor_the_end() {
    const REQUESTS: usize = 5_000;
    let (unread, full) = std::io::pipe().unwrap();
    let mut command = quatrain(["serve", "transform", "--keep-alive", "--log", "trace"]);
    let mut process = Process::start_as(command.stdout(Stdio::piped()).stderr(full));
    let (_, address) = process.wait_until_serving();
    let mut stream = connect(address);
    for _ in 0..REQUESTS {
        stream.write_all(&netstring("shout.x")).unwrap();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"1:X,");
    }
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().status, Some(0));
    drop(unread);
}
