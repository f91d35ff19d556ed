//! Poems that a transform server transforms (S13).

use std::net::Shutdown;

use super::support::{MODELS, Server, closed_port, netstring, read_all, run, serve_once};

#[test]
fn s13_each_poem_is_transformed() {
    let server = Server::start(&["transform"]);
    let via = server.address.to_string();
    let fetched = run(&[
        "fetch",
        &serve_once("One\n"),
        &serve_once("Two\n"),
        "--transform",
        "shout",
        "--via",
        &via,
    ]);
    assert_eq!(
        (fetched.status, fetched.stdout.as_str()),
        (Some(0), "ONE\nTWO\n")
    );
    for line in [
        "Task 1: transformed by ",
        "Task 2: transformed by ",
        "Got 2 poems in ",
    ] {
        assert!(fetched.stderr.contains(line), "{fetched:?}");
    }
}

#[test]
fn s13_a_poem_that_cannot_be_transformed_is_printed_as_it_is() {
    let server = Server::start(&["transform"]);
    let via = server.address.to_string();
    let fetched = run(&[
        "fetch",
        &serve_once("One\n"),
        "--transform",
        "gibberish",
        "--via",
        &via,
    ]);
    assert_eq!(
        (fetched.status, fetched.stdout.as_str()),
        (Some(0), "One\n")
    );
    let kept = format!("Task 1: not transformed, the original is kept: {via}: refused");
    assert_eq!(fetched.stderr.matches(&kept).count(), 1, "{fetched:?}");
    assert!(
        fetched.stderr.ends_with(", 1 not transformed\n"),
        "{fetched:?}"
    );
}

#[test]
fn s13_strictly_a_poem_that_cannot_be_transformed_has_failed() {
    let via = closed_port();
    let strict = ["--transform", "shout", "--via", &via, "--strict-transform"];
    let fetched = run(&[&["fetch", &serve_once("One\n")], &strict[..]].concat());
    assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), ""));
    let failed = format!("Task 1 failed: 127.0.0.1:{via}: connection failed");
    assert!(
        fetched.stderr.contains(&failed) && fetched.stderr.contains("Got 0 of 1 poem"),
        "{fetched:?}"
    );
    assert!(!fetched.stderr.contains("original"), "{fetched:?}");
}

#[test]
fn s13_json_says_why_a_poem_is_not_transformed() {
    let via = closed_port();
    let fetched = run(&[
        "fetch",
        "--json",
        &serve_once("One"),
        "--transform",
        "shout",
        "--via",
        &via,
    ]);
    let line: serde_json::Value = serde_json::from_str(&fetched.stdout).unwrap();
    assert_eq!(
        (&line["status"], &line["poem"]),
        (&"arrived".into(), &"One".into())
    );
    assert!(
        line["transform_error"]
            .as_str()
            .unwrap()
            .contains("connection failed"),
        "{line}"
    );
}

#[test]
fn s20_the_laboratory_s_transforms_can_be_requested() {
    let server = Server::start(&["transform", "--lab"]);
    let via = server.address.to_string();
    let fetched = run(&[
        "fetch",
        &serve_once("One"),
        "--transform",
        "crash",
        "--via",
        &via,
    ]);
    assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(0), "One"));
}

#[test]
fn s25_every_model_offloads_heavy_transforms() {
    let requests = ["burn.one", "shout.two", "burn.three"]
        .map(netstring)
        .concat();
    for model in MODELS {
        let options = ["transform", "--keep-alive", "--lab", "--offload"];
        let server = Server::start(&[&options[..], &["--model", model]].concat());
        let client = server.ask(&requests);
        client.shutdown(Shutdown::Write).unwrap();
        let replies = ["one", "TWO", "three"].map(netstring).concat();
        assert_eq!(read_all(client), replies, "{model}");
        let panics = server.ask(&netstring("overheat.one"));
        assert_eq!(read_all(panics), b"", "{model}");
        let ended = server.stop();
        assert_eq!(ended.status, Some(0), "{model}: {ended:?}");
        let panicked = "the overheat transform was requested";
        assert!(ended.stderr.contains(panicked), "{model}: {ended:?}");
    }
}
