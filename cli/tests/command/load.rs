//! `load`, also against a server that is not a transform server.

use super::support::{LANTERN, Server, closed_port, run};

#[test]
fn the_load_generator_verifies_every_reply() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let loaded = run(&[
        "load",
        &address,
        "--requests",
        "200",
        "--connections",
        "8",
        "--depth",
        "2",
    ]);
    assert_eq!((loaded.status, loaded.stderr.as_str()), (Some(0), ""));
    assert!(
        loaded
            .stdout
            .contains("in all 8 connections, 200 requests, 200 replies verified"),
        "{}",
        loaded.stdout
    );
    let void = run(&["load", &closed_port()]);
    assert_eq!((void.status, void.stdout.as_str()), (Some(1), ""));
    assert!(void.only_line().contains("no connection could be made"));
}

#[test]
fn a_load_on_the_wrong_server_says_what_to_try() {
    let nowhere = closed_port();
    let poem = Server::start(&["poem", LANTERN, "--fast"]);
    let one_shot = Server::start(&["transform"]);
    for (address, words) in [
        (format!("127.0.0.1:{nowhere}"), "nothing listens there"),
        (poem.address.to_string(), "is it a transform server?"),
        (one_shot.address.to_string(), "add --one-shot"),
    ] {
        let loaded = run(&["load", &address, "--requests", "10", "--connections", "2"]);
        assert_eq!((loaded.status, loaded.stdout.as_str()), (Some(1), ""));
        let line = loaded.only_line();
        assert!(
            line.starts_with(&format!("quatrain: cannot load {address}: ")),
            "{line}"
        );
        let port = address.rsplit(':').next().unwrap();
        let start = format!("quatrain serve transform --keep-alive --port {port}");
        assert!(line.contains(words) && line.contains(&start), "{line}");
    }
}

#[test]
fn one_of_anything_is_singular() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let loaded = run(&["load", &address, "--requests", "1", "--connections", "1"]);
    let words = "in all 1 connection, 1 request, 1 reply verified";
    assert!(loaded.stdout.contains(words), "{}", loaded.stdout);
    assert!(loaded.stdout.contains(": 1 reply in "), "{}", loaded.stdout);
}

#[test]
fn few_rounds_come_with_a_warning() {
    let quick = ["--duration", "20ms", "--warm-up", "0", "--connections", "2"];
    let options = [
        &["measure", "--models", "blocking", "--rounds", "1"],
        &quick[..],
    ]
    .concat();
    let measured = run(&options);
    assert_eq!(measured.status, Some(0), "{measured:?}");
    let warning = "Only 1 round: too few for a spread";
    assert!(measured.stdout.contains(warning), "{}", measured.stdout);
    assert!(measured.stderr.contains(warning), "{}", measured.stderr);
}
