//! Counts as a line of JSON (S23).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use poetry::Counts;

use super::support::{MODELS, Scratch, Server, counts, netstring, read_all, run};

#[test]
fn s23_the_counts_at_exit_match_the_requests() {
    for model in MODELS {
        let file = Scratch::path(&format!("counts-{model}"));
        let server = Server::start(&["transform", "--stats", file.as_str(), "--model", model]);
        assert_eq!(
            read_all(server.ask(&netstring("shout.poem"))),
            netstring("POEM")
        );
        assert_eq!(read_all(server.ask(&netstring("sing.poem"))), b"");
        let ended = server.stop();
        assert_eq!(ended.status, Some(0));
        let written = file.read();
        assert_eq!(written.lines().count(), 1, "{model}: {written}");
        let counts = counts(&written);
        assert_eq!(
            (counts.accepted, counts.open, counts.closed.total()),
            (2, 0, 2),
            "{model}"
        );
        assert_eq!(
            (counts.requests, counts.answered, counts.in_flight),
            (2, 1, 0),
            "{model}"
        );
        assert_eq!(counts.refused.unknown_transform, 1, "{model}");
        assert_eq!((counts.bytes_in, counts.bytes_out), (14 + 12, 7), "{model}");
    }
}

#[test]
fn s23_sigusr1_writes_the_counts_to_stderr_while_the_server_runs() {
    for model in MODELS {
        let mut server = Server::start(&["transform", "--model", model, "--log", "debug"]);
        let _stream = server.connect();
        server.process.wait_for("accepted");
        server.process.signal(Signal::SIGUSR1);
        let counts = counts(&server.process.wait_for("\"accepted\":1"));
        assert_eq!((counts.open, counts.requests), (1, 0), "{model}");
        assert_eq!(
            read_all(server.ask(&netstring("shout.a"))),
            netstring("A"),
            "{model}"
        );
    }
}

#[test]
fn s23_sigusr1_and_the_exit_each_append_a_line_to_the_file() {
    let file = Scratch::file("appended", b"before\n");
    let mut server = Server::start(&["transform", "--stats", file.as_str(), "--log", "debug"]);
    server.process.signal(Signal::SIGUSR1);
    server.process.wait_for("wrote the counts");
    server.process.signal(Signal::SIGUSR1);
    server.process.wait_for("wrote the counts");
    assert_eq!(server.stop().status, Some(0));
    let written = file.read();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("before"));
    assert_eq!(
        lines.map(counts).collect::<Vec<_>>(),
        vec![Counts::default(); 3]
    );
}

#[test]
fn s23_the_counts_are_written_even_if_a_second_signal_ends_the_server() {
    let file = Scratch::path("second");
    let mut server = Server::start(&[
        "transform",
        "--stats",
        file.as_str(),
        "--grace",
        "10m",
        "--log",
        "trace",
    ]);
    let (_stream, _) = server.in_mid_request();
    server.process.signal(Signal::SIGTERM);
    server.process.wait_for("stopping");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(1));
    assert_eq!(counts(&file.read()).open, 1);
}

/// Opens an end of a FIFO without blocking.
fn open_end(fifo: &Scratch, options: &mut OpenOptions) -> File {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    options
        .custom_flags(nonblocking)
        .open(fifo.as_str())
        .unwrap()
}

#[test]
fn s23_a_fifo_without_a_reader_is_refused_in_one_line() {
    let fifo = Scratch::fifo("no-reader");
    let ended = run(&["serve", "transform", "--stats", fifo.as_str()]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
    let line = ended.only_line();
    assert!(
        line.contains("--stats") && line.contains("no process reads it"),
        "{line}"
    );
}

#[test]
fn s23_counts_are_written_to_a_fifo_that_is_read() {
    let fifo = Scratch::fifo("read");
    let mut reader = open_end(&fifo, OpenOptions::new().read(true));
    let server = Server::start(&["transform", "--stats", fifo.as_str()]);
    assert_eq!(server.stop().status, Some(0));
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    assert_eq!(counts(&written), Counts::default());
}

#[test]
fn s22_a_fifo_that_is_not_read_delays_neither_signals_nor_the_exit() {
    for model in MODELS {
        let fifo = Scratch::fifo(&format!("full-{model}"));
        let _reader = open_end(&fifo, OpenOptions::new().read(true));
        let mut filler = open_end(&fifo, OpenOptions::new().write(true));
        let error = filler.write_all(&vec![b'x'; 16 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let stats = ["--stats", fifo.as_str(), "--model", model];
        let server = Server::start(&[&["transform"], &stats[..]].concat());
        for _ in 0..400 {
            server.process.signal(Signal::SIGUSR1);
        }
        assert_eq!(read_all(server.ask(&netstring("shout.a"))), netstring("A"));
        let ended = server.stop();
        assert_eq!(ended.status, Some(0), "{model}: {ended:?}");
        assert!(
            ended.stderr.contains("were not written"),
            "{model}: {ended:?}"
        );
    }
}

#[test]
fn s22_a_second_signal_ends_a_server_whose_fifo_is_not_read() {
    let fifo = Scratch::fifo("full-twice");
    let _reader = open_end(&fifo, OpenOptions::new().read(true));
    let mut filler = open_end(&fifo, OpenOptions::new().write(true));
    assert!(filler.write_all(&vec![b'x'; 16 << 20]).is_err());
    let stats = ["--stats", fifo.as_str(), "--grace", "10m", "--log", "trace"];
    let mut server = Server::start(&[&["transform"], &stats[..]].concat());
    let (_stream, _) = server.in_mid_request();
    server.process.signal(Signal::SIGTERM);
    server.process.wait_for("stopping");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(1));
}
