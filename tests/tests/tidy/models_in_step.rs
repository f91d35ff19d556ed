//! The models in step: the same files, entry points and anchors, and in each model one file that names the real socket
//! and the real clock.

use crate::tree::{File, models, sources_of};

/// The files that every model has, with the function at which a reader starts.
const IN_STEP: &[(&str, Option<&str>)] = &[
    ("lib.rs", None),
    ("poem_server.rs", Some("serve_poem")),
    ("poem_client.rs", Some("get_poetry")),
    ("transform_server.rs", Some("serve_transforms")),
    ("transform_client.rs", Some("transform")),
    ("library_server.rs", Some("serve_library")),
    ("proxy.rs", Some("serve_proxy")),
];

/// The anchors that every model has. A model may have more, of passages that only it has; the book's tests check that each
/// anchor that a chapter includes exists.
const ANCHORS: &[&str] = &[
    "serve_poem",
    "get_poetry",
    "fetch_all",
    "answer_requests",
    "offload",
    "linger",
    "transform",
    "fallback",
    "shutdown",
    "find_poem",
    "share_fetch",
    "leave",
];

#[test]
fn every_model_has_the_same_files_and_entry_points() {
    for model in models() {
        let files = sources_of(model);
        for &(name, entry) in IN_STEP {
            let path = format!("{model}/src/{name}");
            let file = files.iter().find(|file| file.path == path);
            let file = file.unwrap_or_else(|| panic!("{path} is missing"));
            if let Some(entry) = entry {
                assert!(
                    has_entry(file, entry),
                    "{path} has no public function {entry}"
                );
            }
        }
    }
}

/// Returns whether `file` has a function `name` that is `pub` or `pub(crate)`.
fn has_entry(file: &File, name: &str) -> bool {
    file.statements().any(|(_, line)| {
        let behind = line
            .split_once(&format!("fn {name}"))
            .map(|(_, behind)| behind);
        let visible = line.starts_with("pub ") || line.starts_with("pub(crate) ");
        visible && behind.is_some_and(|behind| behind.starts_with(['(', '<']))
    })
}

#[test]
fn every_model_has_each_anchor_once() {
    for model in models() {
        let mut found: Vec<String> = Vec::new();
        for file in sources_of(model) {
            for (name, lines) in anchors(&file) {
                assert!(
                    lines >= 3,
                    "{}: the anchor {name} holds {lines} lines",
                    file.path
                );
                found.push(name);
            }
        }
        found.sort();
        for &name in ANCHORS {
            assert!(
                found.iter().any(|found| found == name),
                "{model} has no anchor {name}"
            );
        }
        let twice = found.windows(2).find(|two| two[0] == two[1]);
        assert_eq!(twice, None, "an anchor of {model} is there twice");
    }
}

/// Returns the anchors of a file, with the number of lines in each.
fn anchors(file: &File) -> Vec<(String, usize)> {
    let mut anchors = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    for (at, line) in file.text.lines().map(str::trim).enumerate() {
        if let Some(name) = line.strip_prefix("// ANCHOR: ") {
            open.push((name.to_owned(), at));
        } else if let Some(name) = line.strip_prefix("// ANCHOR_END: ") {
            let place = open.iter().position(|(started, _)| started == name);
            let place = place.unwrap_or_else(|| {
                panic!("{}: the anchor {name} ends without a beginning", file.path)
            });
            let (name, started) = open.remove(place);
            anchors.push((name, at - started - 1));
        }
    }
    assert!(
        open.is_empty(),
        "{}: anchors without an end: {open:?}",
        file.path
    );
    anchors
}

/// Returns whether `path` may be the file of a model that names the real socket and clock: `net.rs`, or a file below
/// `reactor`. All other code takes a byte stream and timers of the model's own.
fn may_name_the_system(path: &str) -> bool {
    path.ends_with("/src/net.rs") || path.contains("/src/reactor/")
}

/// Returns whether a line names `TcpStream`, `UdpSocket` or a clock of the standard library, or calls a function of
/// `TcpListener`. The contract passes a `TcpListener`, so its type may appear; tokio's `Instant` may too, since tests can pause
/// tokio's clock.
fn names_the_system(line: &str) -> bool {
    let socket = ["TcpStream", "UdpSocket", "TcpListener::", "Socket::new("];
    let clock = line.contains("Instant") && line.contains("std::time");
    clock || line.contains("SystemTime") || socket.iter().any(|word| line.contains(word))
}

#[test]
fn one_file_of_each_model_names_the_real_socket_and_clock() {
    for model in models() {
        let mut naming = Vec::new();
        for file in sources_of(model).iter().filter(|file| !file.is_test()) {
            if let Some((at, line)) = file.statements().find(|(_, line)| names_the_system(line)) {
                naming.push((file.path.clone(), at, line.to_owned()));
            }
        }
        let one = matches!(naming.as_slice(), [(path, ..)] if may_name_the_system(path));
        assert!(one, "{model} names the real socket or clock in {naming:#?}");
    }
}

#[test]
fn a_line_that_names_a_socket_or_a_clock_is_recognised() {
    assert!(names_the_system("use std::time::{Duration, Instant};"));
    assert!(names_the_system(
        "let stream = TcpStream::connect(address)?;"
    ));
    assert!(names_the_system("TcpListener::bind(address)"));
    assert!(!names_the_system("use tokio::time::Instant;"));
    assert!(!names_the_system("listener: TcpListener,"));
}
