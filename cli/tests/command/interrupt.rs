//! SIGINT and SIGTERM during a fetch, with each model (S11, S14).

use std::io::{Read, Write};
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::support::{MODELS, Process, listener, quatrain, serve_once, start_with_blocked_signals};

#[test]
fn s14_an_interrupt_prints_the_poems_that_arrived_and_cancels_the_others() {
    for model in MODELS {
        let (silent, port) = listener();
        let mut fetch = Process::start(quatrain([
            "fetch",
            "--model",
            model,
            &serve_once("arrived\n"),
            &port,
        ]));
        let (mut stream, _) = silent.accept().unwrap();
        fetch.wait_for("Task 1 finished");
        fetch.signal(Signal::SIGINT);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "{model}");
        let ended = fetch.end();
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (Some(130), "arrived\n"),
            "{model}"
        );
        let failed = format!("Task 2 failed: 127.0.0.1:{port}: cancelled\n");
        assert!(ended.stderr.contains(&failed), "{model}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("Got 1 of 2 poems in "),
            "{model}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.ends_with(", 1 failed\n"),
            "{model}: {}",
            ended.stderr
        );
    }
}

#[test]
fn s14_an_interrupt_during_a_transform_keeps_no_original() {
    for model in MODELS {
        let (silent, via) = listener();
        let poem = serve_once("arrived\n");
        let options = ["--transform", "shout", "--via", &via, &poem];
        let fetch = Process::start(quatrain(["fetch", "--model", model].iter().chain(&options)));
        let (mut stream, _) = silent.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        fetch.signal(Signal::SIGINT);
        let ended = fetch.end();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(130), ""));
        let stderr = ended.stderr;
        let failed = format!("Task 1 failed: 127.0.0.1:{poem}: cancelled\n");
        assert_eq!(stderr.matches(&failed).count(), 1, "{model}: {stderr}");
        assert!(!stderr.contains("original"), "{model}: {stderr}");
    }
}

#[test]
fn s22_an_interrupt_ends_a_fetch_whose_output_is_not_read() {
    let (listener, port) = listener();
    let (unread, stdout) = std::io::pipe().unwrap();
    let mut command = quatrain(["fetch", &port]);
    let mut fetch = Process::start_as(command.stdout(stdout).stderr(Stdio::piped()));
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
    drop(stream);
    fetch.wait_for("Task 1 finished");
    // The second ends the command if the first arrives before printing starts.
    fetch.signal(Signal::SIGINT);
    fetch.signal(Signal::SIGTERM);
    // The kernel may deliver both at once to two threads, in either order.
    let ended = fetch.end();
    assert!(matches!(ended.status, Some(130 | 143)), "{ended:?}");
    drop(unread);
}

#[test]
fn s14_a_fetch_started_with_blocked_signals_can_be_interrupted() {
    for (model, (signal, status)) in MODELS.into_iter().zip(
        [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)]
            .into_iter()
            .cycle(),
    ) {
        let (silent, port) = listener();
        let fetch = start_with_blocked_signals(&["fetch", "--model", model, &port]);
        let (mut stream, _) = silent.accept().unwrap();
        fetch.signal(signal);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "{model}");
        assert_eq!(fetch.end().status, Some(status), "{model}");
    }
}
