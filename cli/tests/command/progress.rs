//! What `fetch` writes to stderr while poems arrive (S10).

use std::io::Write;

use super::support::{
    MODELS, Process, Scratch, Server, closed_port, listener, quatrain, run, serve_once,
};

#[test]
fn s10_each_read_has_a_line_in_the_tutorial_s_words() {
    for model in MODELS {
        let (listener, port) = listener();
        let mut fetch = Process::start(quatrain([
            "fetch",
            "--progress",
            "lines",
            "--model",
            model,
            &port,
        ]));
        let (mut stream, _) = listener.accept().unwrap();
        for bytes in [10, 3] {
            stream.write_all(&b"A poem. No"[..bytes]).unwrap();
            let line = format!("Task 1: got {bytes} bytes of poetry from 127.0.0.1:{port}\n");
            assert_eq!(fetch.wait_for("got"), line, "{model}");
        }
        drop(stream);
        let stderr = fetch.end().stderr;
        let (_, rest) = stderr.split_once("got 3 bytes").unwrap();
        let mut lines = rest.lines().skip(1);
        assert_eq!(lines.next(), Some("Task 1 finished"), "{model}");
        let sum = lines.next().unwrap();
        let (words, time) = sum.rsplit_once(' ').unwrap();
        assert_eq!((words, lines.next()), ("Got 1 poem in", None), "{model}");
        assert!(
            time.starts_with("0:00:") && time.len() == "0:00:01.2".len(),
            "{sum}"
        );
    }
}

#[test]
fn s11_every_failure_is_reported_once_however_progress_is_shown() {
    for how in ["auto", "lines", "bar", "none"] {
        let port = closed_port();
        let stderr = run(&["fetch", "--progress", how, &serve_once("good\n"), &port]).stderr;
        assert_eq!(
            stderr
                .matches(&format!("Task 2 failed: 127.0.0.1:{port}: "))
                .count(),
            1,
            "{how}: {stderr}"
        );
        assert_eq!(
            stderr.contains("Got 1 of 2 poems in "),
            how != "none",
            "{how}: {stderr}"
        );
    }
}

#[test]
fn without_progress_success_is_silent() {
    assert_eq!(
        run(&["fetch", "--progress", "none", &serve_once("good\n")]).stderr,
        ""
    );
}

#[test]
fn s10_without_a_terminal_the_reads_of_a_poem_are_folded_into_one_line() {
    let poem = Scratch::file("nine", b"nine byte");
    let pace = ["--num-bytes", "1", "--delay", "10ms"];
    let server = Server::start(&[&["poem", poem.as_str()], &pace[..]].concat());
    let address = server.address.to_string();
    for model in MODELS {
        let stderr = run(&["fetch", "--model", model, &address]).stderr;
        let lines: Vec<&str> = stderr.lines().collect();
        let got = format!("Task 1: got 9 bytes of poetry from {address}");
        assert_eq!(lines[..2], [got.as_str(), "Task 1 finished"], "{model}");
        assert_eq!(lines.len(), 3, "{model}: {stderr}");
    }
}

#[test]
fn without_a_terminal_json_is_silent_unless_progress_is_requested() {
    let (good, bad) = (serve_once("good"), closed_port());
    let fetched = run(&["fetch", "--json", &good, &bad]);
    assert_eq!((fetched.status, fetched.stderr.as_str()), (Some(1), ""));
    let fetched = run(&[
        "fetch",
        "--json",
        "--progress",
        "lines",
        &serve_once("good"),
    ]);
    assert!(fetched.stderr.contains("Got 1 poem in"), "{fetched:?}");
}

#[test]
fn a_refused_connection_says_how_to_start_a_server() {
    let (poem, via) = (closed_port(), closed_port());
    let stderr = run(&["fetch", &poem, &closed_port()]).stderr;
    let hint = format!(
        "Nothing listens on 127.0.0.1:{poem}. To start a server there: quatrain serve poem FILE --port {poem}\n"
    );
    assert_eq!(stderr.matches(&hint).count(), 1, "{stderr}");
    assert_eq!(stderr.matches("Nothing listens").count(), 1, "{stderr}");
    assert!(!stderr.contains("os error"), "{stderr}");
    let options = ["--transform", "shout", "--via", &via, &serve_once("good")];
    let stderr = run(&[&["fetch"], &options[..]].concat()).stderr;
    let hint = format!("quatrain serve transform --port {via}\n");
    assert!(stderr.contains(&hint), "{stderr}");
}
