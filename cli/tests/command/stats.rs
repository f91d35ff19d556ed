//! Counts as a line of JSON (S23).

use nix::sys::signal::Signal;
use poetry::Counts;

use super::support::{MODELS, Scratch, Server, netstring, read_all};

fn counts(line: &str) -> Counts {
    let counts: Counts = serde_json::from_str(line).unwrap();
    assert_eq!(counts.check(), Ok(()));
    counts
}

#[test]
fn s23_the_counts_at_exit_add_up_to_what_was_asked() {
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
        server.process.hear("accepted");
        server.process.signal(Signal::SIGUSR1);
        let counts = counts(&server.process.hear("\"accepted\":1"));
        assert_eq!((counts.open, counts.requests), (1, 0), "{model}");
        assert_eq!(
            read_all(server.ask(&netstring("shout.a"))),
            netstring("A"),
            "{model}"
        );
    }
}

#[test]
fn s23_sigusr1_and_the_end_each_append_a_line_to_the_file() {
    let file = Scratch::file("appended", b"before\n");
    let mut server = Server::start(&["transform", "--stats", file.as_str(), "--log", "debug"]);
    server.process.signal(Signal::SIGUSR1);
    server.process.hear("wrote the counts");
    server.process.signal(Signal::SIGUSR1);
    server.process.hear("wrote the counts");
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
fn s23_a_second_signal_does_not_take_the_counts_away() {
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
    server.process.hear("stopping");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.end().status, Some(1));
    assert_eq!(counts(&file.read()).open, 1);
}
