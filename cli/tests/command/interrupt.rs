//! Ctrl-C during a fetch, with each model (S14).

use std::io::{Read, Write};
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::support::{MODELS, Process, listener, quatrain, sends};

#[test]
fn s14_an_interrupt_prints_what_has_arrived_and_closes_the_rest() {
    for model in MODELS {
        let (silent, port) = listener();
        let mut fetch = Process::start(quatrain([
            "fetch",
            "--model",
            model,
            &sends("arrived\n"),
            &port,
        ]));
        let (mut stream, _) = silent.accept().unwrap();
        fetch.hear("Task 1 finished");
        fetch.signal(Signal::SIGINT);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "{model}");
        let ended = fetch.end();
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (Some(1), "arrived\n"),
            "{model}"
        );
        let failed = format!("Task 2 failed: 127.0.0.1:{port}: cancelled\n");
        assert!(ended.stderr.contains(&failed), "{model}: {}", ended.stderr);
    }
}

#[test]
fn s14_an_interrupt_during_a_transform_keeps_no_original() {
    for model in MODELS {
        let (silent, via) = listener();
        let poem = sends("arrived\n");
        let asked = ["--transform", "shout", "--via", &via, &poem];
        let fetch = Process::start(quatrain(["fetch", "--model", model].iter().chain(&asked)));
        let (mut stream, _) = silent.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        fetch.signal(Signal::SIGINT);
        let ended = fetch.end();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
        let said = ended.stderr;
        let failed = format!("Task 1 failed: 127.0.0.1:{poem}: cancelled\n");
        assert_eq!(said.matches(&failed).count(), 1, "{model}: {said}");
        assert!(!said.contains("original"), "{model}: {said}");
    }
}

#[test]
fn s22_an_interrupt_ends_a_fetch_whose_poems_nobody_takes() {
    let (listener, port) = listener();
    let (unread, stdout) = std::io::pipe().unwrap();
    let mut command = quatrain(["fetch", &port]);
    let mut fetch = Process::start_as(command.stdout(stdout).stderr(Stdio::piped()));
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
    drop(stream);
    fetch.hear("Task 1 finished");
    // The second matters if the first comes before printing begins.
    fetch.signal(Signal::SIGINT);
    fetch.signal(Signal::SIGTERM);
    assert_eq!(fetch.end().status, Some(1));
    drop(unread);
}
