//! `serve proxy`, with each model (S9). The upstream is a plain socket, driven by the tests, unless it serves a poem.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use poetry::Counts;
use poetry::counters::Fetches;

use super::support::{
    LANTERN, MODELS, Process, Server, closed_port, counts, listener, quatrain, read_all, run,
    serve_once,
};

/// Starts a proxy of a plain socket with each model in turn.
fn each_model(options: &[&str], test: impl Fn(TcpListener, &str, Server)) {
    for model in MODELS {
        eprintln!("with {model}");
        let (upstream, port) = listener();
        let arguments = ["proxy", &port, "--model", model];
        let server = Server::start(&[&arguments, options].concat());
        test(upstream, &port, server);
    }
}

/// Waits until the proxy has reset `client`, which must not have received a byte.
fn assert_reset(mut client: TcpStream) {
    let mut byte = [0];
    let read = client.read(&mut byte).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
}

/// Sends `bytes` to the proxy, and closes.
fn serve(upstream: &TcpListener, bytes: &[u8]) {
    let (mut fetch, _) = upstream.accept().unwrap();
    fetch.write_all(bytes).unwrap();
}

/// Resets a connection.
fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Stops `server`; returns its counts and its log.
fn stopped(server: Server) -> (Counts, String) {
    let ended = server.stop();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    (counts(&ended.stderr), ended.stderr)
}

#[test]
fn s9_a_proxy_names_its_upstream_and_serves_its_poem() {
    let upstream = Server::start(&["poem", LANTERN, "--fast"]);
    for model in MODELS {
        let upstream = upstream.address.to_string();
        let server = Server::start(&["proxy", &upstream, "--model", model]);
        let expected = format!(
            "Serving proxy of {upstream} on {} with {model}\n",
            server.address
        );
        assert_eq!(server.line, expected);
        let poem = std::fs::read(LANTERN).unwrap();
        for _ in 0..3 {
            assert_eq!(read_all(server.connect()), poem, "{model}");
        }
        let fetched = run(&["fetch", &server.address.to_string(), "--model", model]);
        assert_eq!(
            (fetched.status, fetched.stdout.as_bytes()),
            (Some(0), &*poem)
        );
        let (counts, log) = stopped(server);
        let fetches = Fetches {
            begun: 1,
            cached: 1,
            ..Fetches::default()
        };
        assert_eq!(
            (counts.fetches, counts.answered),
            (fetches, 4),
            "{model}: {log}"
        );
    }
}

#[test]
fn s9_waiting_clients_share_one_fetch_and_one_line_says_that_it_failed() {
    each_model(&["--log", "debug"], |upstream, port, mut server| {
        let clients = [(); 3].map(|()| {
            let client = server.connect();
            server.process.wait_for("accepted");
            client
        });
        let (mut fetch, _) = upstream.accept().unwrap();
        fetch.write_all(b"half a poem").unwrap();
        reset(fetch);
        clients.into_iter().for_each(assert_reset);
        let line = server.process.wait_for("cannot fetch");
        let expected = format!("WARN cannot fetch from 127.0.0.1:{port}: connection lost: ");
        assert!(
            line.contains(&expected) && !line.contains("os error"),
            "{line}"
        );
        // The next client starts a new fetch, whose poem is served from then on.
        let client = server.connect();
        serve(&upstream, b"a poem");
        assert_eq!(read_all(client), b"a poem");
        upstream.set_nonblocking(true).unwrap();
        assert_eq!(read_all(server.connect()), b"a poem");
        assert!(upstream.accept().is_err(), "it was fetched again");
        let (counts, log) = stopped(server);
        assert_eq!(log.matches("cannot fetch").count(), 1, "{log}");
        let fetches = Fetches {
            begun: 2,
            cached: 1,
            failed: 1,
            ..Fetches::default()
        };
        assert_eq!(
            (counts.fetches, counts.closed.upstream),
            (fetches, 3),
            "{log}"
        );
    });
}

#[test]
fn s9_a_refused_upstream_says_how_to_start_one() {
    for model in MODELS {
        let port = closed_port();
        let server = Server::start(&["proxy", &port, "--model", model]);
        let fetched = run(&["fetch", &server.address.to_string(), "--model", model]);
        assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), ""));
        let failed = format!("Task 1 failed: {}: connection lost: ", server.address);
        assert!(fetched.stderr.contains(&failed), "{model}: {fetched:?}");
        let (_, log) = stopped(server);
        let expected = format!("cannot fetch from 127.0.0.1:{port}: connection failed: ");
        let hint = format!(
            "; nothing listens there; to start a server: quatrain serve poem FILE --port {port}\n"
        );
        assert!(
            log.contains(&expected) && log.contains(&hint),
            "{model}: {log}"
        );
    }
}

#[test]
fn s9_a_poem_that_is_empty_or_too_long_or_not_utf8_is_never_served() {
    each_model(&["--poem-bytes-max", "9"], |upstream, port, mut server| {
        for (poem, why) in [
            (&b""[..], "the poem is empty"),
            (b"ten bytes!", "too long: over the limit of 9 bytes"),
            (b"na\xefve", "not UTF-8 at byte 2"),
        ] {
            let client = server.connect();
            serve(&upstream, poem);
            let line = server.process.wait_for("cannot fetch");
            assert!(line.contains(&format!("127.0.0.1:{port}: {why}")), "{line}");
            assert_reset(client);
        }
        let (counts, _) = stopped(server);
        assert_eq!((counts.fetches.failed, counts.bytes_out), (3, 0));
    });
}

#[test]
fn s9_an_upstream_that_falls_silent_is_given_up() {
    each_model(&["--idle-timeout", "50ms"], |upstream, _, mut server| {
        let client = server.connect();
        let (mut silent, _) = upstream.accept().unwrap();
        let _ = silent.write_all(b"a");
        let line = server.process.wait_for("cannot fetch");
        assert!(
            line.contains("timed out: no data within the idle timeout"),
            "{line}"
        );
        assert_reset(client);
    });
}

#[test]
fn s9_the_deadline_is_that_of_the_whole_fetch() {
    each_model(&["--deadline", "50ms"], |_upstream, _, mut server| {
        let client = server.connect();
        let line = server.process.wait_for("cannot fetch");
        assert!(
            line.contains("timed out: the total deadline passed"),
            "{line}"
        );
        assert_reset(client);
    });
}

#[test]
fn s9_when_the_last_waiting_client_leaves_the_fetch_is_cancelled_quietly() {
    each_model(&["--log", "debug"], |upstream, port, mut server| {
        let client = server.connect();
        let (mut fetch, _) = upstream.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(matches!(fetch.read(&mut [0]), Ok(0) | Err(_)));
        let expected = format!("stopped fetching from 127.0.0.1:{port}: no client waits for it");
        let line = server.process.wait_for(&expected);
        assert!(line.contains("DEBUG"), "{line}");
        let (counts, log) = stopped(server);
        let fetches = Fetches {
            begun: 1,
            cancelled: 1,
            ..Fetches::default()
        };
        assert_eq!((counts.fetches, counts.closed.left), (fetches, 1), "{log}");
        assert!(!log.contains("WARN"), "{log}");
    });
}

#[test]
fn s9_a_poem_is_fetched_again_when_its_time_is_over() {
    each_model(&["--cache-ttl", "0"], |upstream, _, server| {
        for poem in [b"first", b"again"] {
            let client = server.connect();
            serve(&upstream, poem);
            assert_eq!(read_all(client), poem);
        }
    });
}

#[test]
fn s21_a_client_that_waits_gets_the_poem_within_the_grace() {
    each_model(&["--log", "debug"], |upstream, _, mut server| {
        let client = server.connect();
        let (mut fetch, _) = upstream.accept().unwrap();
        server.process.wait_for("accepted");
        server.process.signal(Signal::SIGTERM);
        server.process.wait_for("stopping");
        fetch.write_all(b"late").unwrap();
        drop(fetch);
        assert_eq!(read_all(client), b"late");
        let ended = server.process.end();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("stopped: 1 finished"), "{ended:?}");
    });
}

#[test]
fn s21_a_client_that_waits_is_cut_when_the_grace_is_over() {
    let options = ["--grace", "50ms", "--log", "debug"];
    each_model(&options, |upstream, _, mut server| {
        let client = server.connect();
        let (mut fetch, _) = upstream.accept().unwrap();
        server.process.wait_for("accepted");
        server.process.signal(Signal::SIGTERM);
        assert_reset(client);
        assert!(matches!(fetch.read(&mut [0]), Ok(0) | Err(_)));
        let ended = server.process.end();
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("0 finished, 1 cut"), "{ended:?}");
        assert!(!ended.stderr.contains("cannot fetch"), "{ended:?}");
    });
}

#[test]
fn s10_an_upstream_that_does_not_resolve_is_one_line_and_status_2() {
    let ended = run(&["serve", "proxy", "no-such-name.invalid:1"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
    let line = ended.only_line();
    let begin = "quatrain: cannot be a proxy of no-such-name.invalid:1: connection failed: ";
    assert!(line.starts_with(begin), "{line}");
    assert!(
        line.ends_with("; give the address of a poem server, such as 10001"),
        "{line}"
    );
}

#[test]
fn s10_an_upstream_may_be_a_name() {
    let port = serve_once("named");
    let mut process = Process::start(quatrain(["serve", "proxy", &format!("localhost:{port}")]));
    let (line, address) = process.wait_until_serving();
    assert!(
        line.starts_with(&format!("Serving proxy of localhost:{port} on ")),
        "{line}"
    );
    assert_eq!(read_all(Server::at(process, address).connect()), b"named");
}
