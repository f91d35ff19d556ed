//! `serve --observe`: what connections wait for, in the words of each model, and crashes.

use std::io::{Read, Write};

use super::support::{MODELS, Server, netstring};

/// How a connection is shown that waits for its next request.
const IDLE: [&str; 4] = [
    "its protocol waits for data_received",
    "receives: bytes of its port",
    "pending: the next chunk of its source",
    "blocks in recv",
];

fn start(model: &str) -> Server {
    Server::start(&[
        "transform",
        "--keep-alive",
        "--lab",
        "--observe",
        "--model",
        model,
    ])
}

#[test]
fn a_connection_is_shown_with_what_it_waits_for() {
    for (model, words) in MODELS.into_iter().zip(IDLE) {
        let mut server = start(model);
        let mut stream = server.ask(&netstring("shout.x"));
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        let counts = "read 10 B, wrote 4 B, 1 request answered";
        let line = server.process.wait_for(&format!("{words}; {counts}"));
        assert!(line.starts_with("  connection 0 of 127.0.0.1:"), "{line}");
        drop(stream);
        assert_eq!(server.stop().status, Some(0), "{model}");
    }
}

#[test]
fn a_crash_is_shown_and_the_tree_of_actors() {
    for (model, words) in MODELS.into_iter().zip(IDLE) {
        let mut server = start(model);
        let mut stream = server.ask(&netstring("crash.x"));
        // It lingers, since its peer has not finished.
        server
            .process
            .wait_for(&format!("{words}; read 10 B, wrote 0 B"));
        server.process.wait_for("connection 0 crashed");
        if model == "actors" {
            server.process.wait_for("connections");
        }
        let _ = stream.write_all(b"x");
        assert_eq!(server.stop().status, Some(0), "{model}");
    }
}
