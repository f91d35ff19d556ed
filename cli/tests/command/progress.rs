//! What `fetch` says on stderr while poems come (S10).

use std::io::Write;

use super::support::{MODELS, Process, closed_port, listener, quatrain, run, sends};

#[test]
fn s10_a_line_for_whatever_arrives_in_the_tutorial_s_words() {
    for model in MODELS {
        let (listener, port) = listener();
        let mut fetch = Process::start(quatrain(["fetch", "--model", model, &port]));
        let (mut stream, _) = listener.accept().unwrap();
        for bytes in [10, 3] {
            stream.write_all(&b"A poem. No"[..bytes]).unwrap();
            let line = format!("Task 1: got {bytes} bytes of poetry from 127.0.0.1:{port}\n");
            assert_eq!(fetch.hear("got"), line, "{model}");
        }
        drop(stream);
        let said = fetch.end().stderr;
        let (_, rest) = said.split_once("got 3 bytes").unwrap();
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
fn s11_every_failure_is_said_once_whatever_shows_the_progress() {
    for how in ["auto", "lines", "bar", "none"] {
        let port = closed_port();
        let said = run(&["fetch", "--progress", how, &sends("good\n"), &port]).stderr;
        assert_eq!(
            said.matches(&format!("Task 2 failed: 127.0.0.1:{port}: "))
                .count(),
            1,
            "{how}: {said}"
        );
        assert_eq!(
            said.contains("Got 1 of 2 poems in "),
            how != "none",
            "{how}: {said}"
        );
    }
}

#[test]
fn without_progress_nothing_is_said_of_what_went_well() {
    assert_eq!(
        run(&["fetch", "--progress", "none", &sends("good\n")]).stderr,
        ""
    );
}
