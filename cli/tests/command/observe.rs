//! `serve --observe`: what connections wait for, in the words of each model, and crashes.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use nix::sys::signal::Signal;

use super::support::{Folder, LANTERN, MODELS, Process, Server, netstring, quatrain};

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

/// Starts a transform server whose stdin is the returned pipe.
fn start_reading(model: &str, options: &[&str]) -> (Server, PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let mut command = quatrain(["serve", "transform", "--keep-alive", "--model", model]);
    command.args(options);
    command.stdin(Stdio::from(reader.try_clone().unwrap()));
    let mut process = Process::start(command);
    let (_, address) = process.wait_until_serving();
    (Server::at(process, address), reader, writer)
}

fn shout(stream: &mut TcpStream) {
    stream.write_all(&netstring("shout.x")).unwrap();
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"1:X,");
}

#[test]
fn o5_a_part_that_a_line_on_stdin_crashes_is_shown_as_it_is_restarted() {
    let (mut server, _, mut stdin) = start_reading("actors", &["--lab", "--observe"]);
    let mut before = server.connect();
    shout(&mut before);
    server.process.wait_for("acceptor (0 restarts");
    stdin.write_all(b"crash acceptor\n").unwrap();
    server.process.wait_for("crashed acceptor");
    server.process.wait_for("acceptor (1 restart, ");
    let line = server.process.wait_for("↻ restarted: ");
    assert_eq!(
        line.trim(),
        "↻ restarted: crash: asked for in the laboratory"
    );
    shout(&mut before);
    shout(&mut server.connect());
    stdin.write_all(b"crash nothing\n").unwrap();
    let parts = "cannot crash nothing: type crash and one of connections-0, acceptor";
    server.process.wait_for(parts);
    assert_eq!(server.stop().status, Some(0));
}

#[test]
fn lines_on_stdin_that_ask_for_nothing_that_can_crash_are_answered_and_cost_nothing() {
    for model in ["callbacks", "streams", "blocking"] {
        let (mut server, _, mut stdin) = start_reading(model, &["--lab", "--observe"]);
        for line in [
            &b"crash acceptor\n"[..],
            b"\xff\x1b[2J\n",
            &[b'x'; 100_000],
            b"\n\ncrash\n",
        ] {
            stdin.write_all(line).unwrap();
        }
        let cause = "no part of this server is started again after a crash";
        server
            .process
            .wait_for(&format!("cannot crash acceptor: {cause}"));
        let line = server.process.wait_for("cannot crash \u{fffd}");
        assert!(line.contains("\\u{1b}[2J: no part"), "{line:?}");
        drop(stdin);
        shout(&mut server.connect());
        let ended = server.stop();
        assert_eq!(ended.status, Some(0), "{model}: {ended:?}");
        assert!(!ended.stderr.contains('\x1b'), "{model}: {ended:?}");
    }
}

#[test]
fn stdin_is_not_read_without_lab() {
    let (server, mut reader, mut stdin) = start_reading("actors", &["--observe"]);
    stdin.write_all(b"crash acceptor\n").unwrap();
    drop(stdin);
    shout(&mut server.connect());
    let ended = server.stop();
    assert_eq!(ended.status, Some(0));
    assert!(!ended.stderr.contains("crashed"), "{ended:?}");
    let mut unread = Vec::new();
    reader.read_to_end(&mut unread).unwrap();
    assert_eq!(unread, b"crash acceptor\n");
}

/// A poem that no kernel's buffers take at once.
fn long_poem(folder: &Folder) -> String {
    let path = folder.path("long.txt");
    fs::write(&path, "Stars fall.\n".repeat(1 << 20)).unwrap();
    path
}

#[test]
fn every_wait_of_a_server_is_shown_in_the_words_of_its_model() {
    let folder = Folder::with(&[]);
    let long = long_poem(&folder);
    let words = [
        [
            "its protocol waits for resume_producing",
            "a pending call will continue the poem",
            "a Deferred will fire",
        ],
        [
            "receives: room in its port",
            "receives … after the time of the next piece",
            "receives: a message of another process",
        ],
        [
            "pending: demand of its sink",
            "pending: the time of the next item",
            "pending: another future",
        ],
        [
            "blocks in send",
            "is parked until the next piece is due",
            "blocks on a condition variable",
        ],
    ];
    thread::scope(|scope| {
        for (model, words) in MODELS.into_iter().zip(words) {
            let long = &long;
            scope.spawn(move || shows_every_wait(model, long, words));
        }
    });
}

fn shows_every_wait(model: &str, long: &str, [write, pace, task]: [&str; 3]) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = silent.local_addr().unwrap().to_string();
    for (program, wait) in [
        (["poem", long, "--fast"], write),
        (["poem", LANTERN, "--delay=60"], pace),
        (["proxy", &upstream, "--threads=1"], task),
    ] {
        let options = ["--observe", "--grace", "0", "--model", model];
        let mut server = Server::start(&[&program[..], &options].concat());
        let client = server.connect();
        let peer = client.local_addr().unwrap();
        let words = format!(" of {peer}: {wait}; read 0 B");
        let line = server.process.wait_for(&words);
        assert!(line.starts_with("  connection 0"), "{line}");
        drop(client);
        server.stop();
    }
}

/// What each model says of itself beside its connections.
const DETAILS: [&str; 4] = [
    "reactor-0: 1 connection, 0 delayed calls, 1 timeout, 0 waiting Deferreds",
    "└─ acceptor (0 restarts, mailbox 0/",
    "streams-0: 3 tasks, of which 2 keep its deadlines and turns",
    "2 threads, 1 of them waiting to accept",
];

#[test]
fn every_model_describes_its_parts() {
    for (model, words) in MODELS.into_iter().zip(DETAILS) {
        let mut server = start(model);
        let _client = server.connect();
        server.process.wait_for(words);
        // The same, when it is asked for by a signal.
        server.process.signal(Signal::SIGUSR1);
        server.process.wait_for("{\"accepted\":1");
        server.process.wait_for(words);
        assert_eq!(server.stop().status, Some(0), "{model}");
    }
}
