//! What `fetch` prints on stdout, and its exit status. The poem servers are plain sockets, driven by the tests.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::Value;

use super::support::{
    Ended, MODELS, Process, Server, closed_port, listener, quatrain, run, serve_once,
};

const BABEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../poems/babel.txt");

#[test]
fn s10_every_model_fetches_a_poem_byte_for_byte() {
    for model in MODELS {
        let server = Server::start(&["poem", BABEL, "--fast", "--model", model]);
        let fetched = run(&["fetch", &server.address.to_string(), "--model", model]);
        assert_eq!(
            (fetched.status, fetched.stdout.as_bytes()),
            (Some(0), &*std::fs::read(BABEL).unwrap())
        );
    }
}

#[test]
fn s10_poems_are_printed_in_the_order_of_their_addresses_not_of_their_arrival() {
    let (first, first_port) = listener();
    let (second, second_port) = listener();
    let mut fetch = Process::start(quatrain(["fetch", &first_port, &second_port]));
    // Both are connected before either sends: they are fetched at once.
    let (mut first, _) = first.accept().unwrap();
    let (mut second, _) = second.accept().unwrap();
    second.write_all(b"second\n").unwrap();
    drop(second);
    fetch.wait_for("Task 2 finished");
    first.write_all(b"first\n").unwrap();
    drop(first);
    let ended = fetch.end();
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), "first\nsecond\n")
    );
}

#[test]
fn s10_sequentially_a_poem_is_requested_after_the_one_before_has_arrived() {
    let (first, first_port) = listener();
    let (second, second_port) = listener();
    let mut fetch = Process::start(quatrain([
        "fetch",
        "--sequential",
        "--progress",
        "lines",
        &first_port,
        &second_port,
    ]));
    let (mut stream, _) = first.accept().unwrap();
    stream.write_all(b"first").unwrap();
    fetch.wait_for("Task 1: got 5 bytes");
    second.set_nonblocking(true).unwrap();
    assert!(
        second.accept().is_err(),
        "the second poem was requested before the first had arrived"
    );
    second.set_nonblocking(false).unwrap();
    drop(stream);
    let (mut stream, _) = second.accept().unwrap();
    stream.write_all(b"second").unwrap();
    drop(stream);
    assert_eq!(fetch.end().stdout, "first\nsecond");
}

#[test]
fn s10_a_newline_separates_two_poems_only_if_the_first_lacks_one() {
    let ports = [
        serve_once("a"),
        serve_once("b\n"),
        serve_once("c\r"),
        serve_once("d"),
    ];
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let fetched = run(&[&["fetch"], &ports[..]].concat());
    assert_eq!(fetched.stdout, "a\nb\nc\r\nd");
}

#[test]
fn s10_a_host_may_be_named_or_left_out() {
    let port = serve_once("named");
    let fetched = run(&["fetch", &format!("localhost:{port}")]);
    assert_eq!(
        (fetched.status, fetched.stdout.as_str()),
        (Some(0), "named")
    );
}

#[test]
fn s11_one_failure_does_not_disturb_the_others_and_the_status_is_1() {
    let (good, bad, last) = (serve_once("good\n"), closed_port(), serve_once("last\n"));
    let fetched = run(&["fetch", &good, &bad, &last]);
    assert_eq!(
        (fetched.status, fetched.stdout.as_str()),
        (Some(1), "good\nlast\n")
    );
    let failed = format!("Task 2 failed: 127.0.0.1:{bad}: connection failed: ");
    assert!(fetched.stderr.contains(&failed), "{}", fetched.stderr);
    assert!(
        fetched.stderr.contains("Got 2 of 3 poems in 0:00:")
            && fetched.stderr.ends_with(", 1 failed\n")
    );
}

#[test]
fn s11_a_name_that_does_not_resolve_fails_that_poem_only() {
    let name = "no-such-name.invalid:1";
    let fetched = run(&["fetch", name, &serve_once("good")]);
    assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), "good"));
    assert!(
        fetched
            .stderr
            .contains(&format!("Task 1 failed: {name}: connection failed: ")),
        "{fetched:?}"
    );
}

#[test]
fn s11_each_failure_has_its_own_words() {
    let (silent, silent_port) = listener();
    let endless = serve_once(vec![b'x'; 100]);
    let latin = serve_once(b"na\xefve");
    let waits = thread::spawn(move || silent.accept().map(|(stream, _)| stream));
    let of = |port: &str, words: &str| format!("127.0.0.1:{port}: {words}");
    for (arguments, words) in [
        (
            vec!["fetch", &silent_port, "--deadline", "50ms"],
            of(&silent_port, "timed out: the total deadline passed"),
        ),
        (
            vec!["fetch", &endless, "--poem-bytes-max", "99"],
            of(&endless, "too long: over the limit of 99 bytes"),
        ),
        (vec!["fetch", &latin], of(&latin, "not UTF-8 at byte 2")),
    ] {
        let fetched = run(&arguments);
        assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), ""));
        assert!(fetched.stderr.contains(&words), "{fetched:?}");
    }
    drop(waits.join());
}

#[test]
fn s11_json_has_one_object_for_each_poem() {
    let (good, bad) = (serve_once("line\n\"two\""), closed_port());
    let fetched = run(&["fetch", "--json", &good, &bad]);
    assert_eq!(fetched.status, Some(1));
    let lines: Vec<Value> = fetched
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [arrived, failed] = &lines[..] else {
        panic!("{fetched:?}")
    };
    assert_eq!(
        (&arrived["task"], &arrived["address"]),
        (&1.into(), &format!("127.0.0.1:{good}").into())
    );
    assert_eq!(
        (&arrived["status"], &arrived["bytes"]),
        (&"arrived".into(), &10.into())
    );
    assert_eq!(
        (&arrived["poem"], &arrived["error"]),
        (&"line\n\"two\"".into(), &Value::Null)
    );
    assert!(arrived["elapsed_ms"].as_f64().is_some());
    assert_eq!(
        (&failed["task"], &failed["status"]),
        (&2.into(), &"connection_failed".into())
    );
    assert_eq!(
        (&failed["bytes"], &failed["poem"]),
        (&0.into(), &Value::Null)
    );
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("127.0.0.1:{bad}: connection failed")),
        "{error}"
    );
}

#[test]
fn s22_a_stdout_whose_reader_has_closed_it_ends_quietly_with_status_1() {
    for arguments in [vec!["fetch"], vec!["fetch", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let port = serve_once("an unread poem\n");
        let mut command = quatrain(arguments.iter().copied().chain([port.as_str()]));
        let ended = Process::start_as(command.stdout(writer).stderr(Stdio::piped())).end();
        assert_eq!(ended.status, Some(1));
        assert!(
            ended.stderr.lines().all(|line| line.starts_with("Task 1")),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn s22_a_full_stdout_is_reported() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = quatrain(["fetch", "--progress", "none", &serve_once("a poem")]);
    let ended = Process::start_as(command.stdout(full).stderr(Stdio::piped())).end();
    assert_eq!(ended.status, Some(1));
    assert!(
        ended
            .only_line()
            .starts_with("quatrain: cannot write to stdout: ")
    );
}

#[test]
fn s22_a_full_stderr_pipe_does_not_stall_a_fetch() {
    // Their lines are twice as many as a pipe holds.
    let ports = vec![closed_port(); 1_500];
    let (mut unread, full) = std::io::pipe().unwrap();
    let mut command = quatrain(
        ["fetch", "--progress", "lines"]
            .into_iter()
            .map(str::to_owned)
            .chain(ports),
    );
    let ended = Process::start_as(command.stdout(Stdio::piped()).stderr(full)).end();
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    drop(command); // It has the other end of the pipe.
    let mut stderr = String::new();
    unread.read_to_string(&mut stderr).unwrap();
    assert!(stderr.starts_with("Task "), "{stderr}");
}

#[test]
fn s14_a_fetch_closes_its_sockets_when_it_ends() {
    let (silent, port) = listener();
    let (closed, is_closed) = channel();
    thread::spawn(move || {
        let (mut stream, _) = silent.accept().unwrap();
        let _ = closed.send(stream.read(&mut [0]));
    });
    assert_eq!(
        run(&["fetch", &port, "--idle-timeout", "50ms"]).status,
        Some(1)
    );
    assert!(matches!(is_closed.recv().unwrap(), Ok(0) | Err(_)));
}

/// Runs the command by a shell, with `redirection` of its stdout.
fn run_redirected(arguments: &[&str], redirection: &str) -> Ended {
    let mut command = Command::new("sh");
    let script = format!(r#"exec "$0" "$@" {redirection}"#);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
    Process::start_as(command.args(arguments).stderr(Stdio::piped())).end()
}

#[test]
fn s22_a_stdout_that_is_closed_at_the_start_is_reported_with_status_1() {
    let port = serve_once("unread\n");
    let json = serve_once("unread\n");
    for arguments in [
        &["fetch", "--progress", "none", &port][..],
        &["fetch", "--json", &json],
        &["--help"],
        &["--version"],
        &["help", "fetch"],
    ] {
        let ended = run_redirected(arguments, ">&-");
        assert_eq!(ended.status, Some(1), "{arguments:?}: {ended:?}");
        let line = ended.only_line();
        let expected = "quatrain: cannot write to stdout: it was closed when the command started";
        assert_eq!(line, expected, "{arguments:?}");
    }
    // Even if all standard streams are closed, and the poem is requested by a socket that would get number 1.
    let ended = run_redirected(&["fetch", &serve_once("unread\n")], "<&- >&- 2>&-");
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

#[test]
fn s22_a_stdout_into_dev_null_is_not_closed() {
    for redirection in [">/dev/null", "1<>/dev/null", "<&- >/dev/null"] {
        let ended = run_redirected(&["fetch", &serve_once("unread\n")], redirection);
        assert_eq!(ended.status, Some(0), "{redirection}: {ended:?}");
    }
}
