//! `serve library`, with each model, and `fetch --poem` (S8): directories that change and have bad files, names that are
//! paths.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::{
    Folder, MODELS, Process, Server, closed_port, connect, listener, netstring, quatrain, read_all,
    run, serve_once, start_with_blocked_signals,
};

/// Starts a library server of `folder` with each model in turn.
fn each_model(folder: impl Fn() -> Folder, options: &[&str], test: impl Fn(&Folder, Server)) {
    for model in MODELS {
        eprintln!("with {model}");
        let folder = folder();
        let arguments = ["library", folder.as_str(), "--model", model];
        test(&folder, Server::start(&[&arguments, options].concat()));
    }
}

fn stars() -> Folder {
    Folder::with(&[("star.txt", b"Stars fall.\n"), ("moon.txt", b"The moon.\n")])
}

/// Asks for one poem; returns the reply.
fn ask(server: &Server, name: &str) -> Vec<u8> {
    read_all(server.ask(&netstring(name)))
}

/// Sends SIGHUP, and waits until the directory has been read again; returns the line that says so.
fn reload(server: &mut Server) -> String {
    server.process.signal(Signal::SIGHUP);
    server.process.wait_for(" again: ")
}

#[test]
fn s8_a_library_prints_its_directory_and_the_number_of_its_poems() {
    for (files, count) in [
        (&[][..], "0 poems"),
        (&[("a.txt", &b"A"[..])], "1 poem"),
        (&[("a.txt", b"A"), ("b.txt", b"B")], "2 poems"),
    ] {
        let folder = Folder::with(files);
        let server = Server::start(&["library", folder.as_str()]);
        let expected = format!(
            "Serving library {} ({count}) on {} with callbacks\n",
            folder.as_str(),
            server.address
        );
        assert_eq!(server.line, expected);
        assert_eq!(server.stop().status, Some(0));
    }
}

#[test]
fn s8_a_reply_under_way_stays_whole_while_the_poems_are_replaced() {
    const BYTES: usize = 24 << 20; // More than the sockets between the two hold.
    let old = vec![b'o'; BYTES];
    let long = || Folder::with(&[("long.txt", &old)]);
    each_model(
        long,
        &["--frame-bytes-max", "100000000"],
        |folder, mut server| {
            let mut stream = server.ask(&netstring("long"));
            let mut head = vec![0; format!("{BYTES}:").len()];
            stream.read_exact(&mut head).unwrap();
            folder.replace("long.txt", b"new");
            assert!(
                reload(&mut server).contains("1 poem, 0 new, 1 changed, 0 gone; 0 files skipped")
            );
            assert_eq!(ask(&server, "long"), netstring("new"));
            let rest = read_all(stream);
            assert!(
                rest.strip_suffix(b",") == Some(&*old),
                "{} bytes",
                rest.len()
            );
        },
    );
}

#[test]
fn s8_a_file_that_becomes_bad_keeps_its_earlier_poem() {
    each_model(stars, &[], |folder, mut server| {
        folder.replace("star.txt", b"na\xefve");
        folder.remove("moon.txt");
        folder.fifo("moon.txt");
        folder.write("sun.txt", b"The sun.\n");
        let line = reload(&mut server);
        assert!(
            line.contains(
                "3 poems, 1 new, 0 changed, 0 gone; 2 files kept as before, 0 files skipped"
            ),
            "{line}"
        );
        assert_eq!(ask(&server, "star"), netstring("Stars fall.\n"));
        assert_eq!(ask(&server, "moon"), netstring("The moon.\n"));
        assert_eq!(ask(&server, "sun"), netstring("The sun.\n"));
        folder.remove("star.txt");
        let line = reload(&mut server);
        assert!(
            line.contains(
                "2 poems, 0 new, 0 changed, 1 gone; 1 file kept as before, 0 files skipped"
            ),
            "{line}"
        );
        assert_eq!(ask(&server, "star"), b"");
        let log = server.stop().stderr;
        let path = folder.path("star.txt");
        let kept = format!("still serving the earlier poem of {path}: not UTF-8 at byte 2; ");
        assert_eq!(log.matches(&kept).count(), 1, "{log}");
    });
}

#[test]
fn s8_a_directory_that_cannot_be_read_again_keeps_all_poems() {
    let folder = stars();
    let mut server = Server::start(&["library", folder.as_str()]);
    folder.remove_all();
    server.process.signal(Signal::SIGHUP);
    let line = server.process.wait_for("cannot read");
    assert!(line.contains("still serving its 2 poems"), "{line}");
    assert_eq!(ask(&server, "star"), netstring("Stars fall.\n"));
    assert_eq!(server.stop().status, Some(0));
}

#[test]
fn s8_a_path_is_refused_as_a_name_and_named_in_the_log() {
    each_model(stars, &[], |folder, mut server| {
        let absolute = folder.path("star.txt");
        for name in [
            "../star.txt",
            "star.txt",
            "./star",
            "/etc/passwd",
            &absolute,
            "",
            "a\0b",
        ] {
            assert_eq!(ask(&server, name), b"", "{name}");
        }
        server
            .process
            .wait_for("'../star.txt' is not a poem's name");
        assert_eq!(ask(&server, "sun"), b"");
        server.process.wait_for("unknown poem 'sun'");
        let counts = counts(server.stop().stderr);
        let refused = &counts["refused"];
        assert_eq!(
            (&refused["bad_poem_name"], &refused["unknown_poem"]),
            (&7.into(), &1.into())
        );
        assert_eq!(counts["closed"]["refused"], 8);
    });
}

/// Returns the line of counts in a log.
fn counts(log: String) -> Value {
    let line = log.lines().rfind(|line| line.starts_with('{')).unwrap();
    serde_json::from_str(line).unwrap()
}

#[test]
fn s8_bad_files_are_named_at_the_start_with_what_to_do() {
    let folder = Folder::with(&[
        ("good.txt", b"good"),
        ("good.md", b"second"),
        ("a.b.txt", b"dotted"),
        ("latin.txt", b"na\xefve"),
        ("long.txt", &[b'x'; 100_000]),
        (".hidden", b"\xff"),
    ]);
    folder.fifo("fifo.txt");
    folder.directory("drafts");
    let server = Server::start(&["library", folder.as_str()]);
    assert!(server.line.contains("(1 poem)"), "{}", server.line);
    assert_eq!(ask(&server, "good"), netstring("second"));
    let log = server.stop().stderr;
    for (file, why) in [
        ("good.txt", "good.md is called good too; rename one of them"),
        (
            "a.b.txt",
            "without dots, slashes, backslashes and control characters; rename it",
        ),
        ("latin.txt", "not UTF-8 at byte 2; save it as UTF-8"),
        (
            "long.txt",
            "longer than the 99999 bytes of a frame; shorten it, or start the server with a larger",
        ),
        ("fifo.txt", "it is a FIFO; make it a file that can be read"),
    ] {
        let line = log
            .lines()
            .find(|line| line.contains(&folder.path(file)))
            .unwrap();
        assert!(
            line.contains("WARN skipped ") && line.contains(why),
            "{file}: {line}"
        );
    }
    assert_eq!(log.matches("skipped").count(), 5, "{log}");
}

#[test]
fn s21_a_directory_that_cannot_be_served_is_one_line_and_status_2() {
    let folder = stars();
    for (path, why) in [
        (folder.path("missing"), "No such file or directory"),
        (folder.path("star.txt"), "Not a directory"),
        ("/dev/null".to_owned(), "Not a directory"),
    ] {
        let ended = run(&["serve", "library", &path]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
        let expected = format!(
            "quatrain: cannot read the library {path}: {why}; give the path of a directory of poems"
        );
        assert_eq!(ended.only_line(), expected);
    }
}

#[test]
fn s5_a_library_answers_once_or_with_keep_alive_any_number_of_times() {
    let requests = [netstring("star"), netstring("moon")].concat();
    let (star, moon) = (netstring("Stars fall.\n"), netstring("The moon.\n"));
    each_model(stars, &[], |_, server| {
        assert_eq!(read_all(server.ask(&requests)), star);
    });
    each_model(stars, &["--keep-alive"], |_, server| {
        let stream = server.ask(&requests);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(stream), [&star[..], &moon].concat());
    });
}

#[test]
fn s8_sighup_reads_the_poems_again_although_it_was_blocked_at_the_start() {
    let folder = stars();
    let mut process = start_with_blocked_signals(&["serve", "library", folder.as_str()]);
    let (_, address) = process.wait_until_serving();
    let mut server = Server::at(process, address);
    folder.write("sun.txt", b"The sun.\n");
    reload(&mut server);
    assert_eq!(ask(&server, "sun"), netstring("The sun.\n"));
}

#[test]
fn s21_a_poem_in_flight_is_sent_to_its_end_although_poems_are_read_again() {
    each_model(stars, &["--log", "trace"], |_, mut server| {
        let request = netstring("star");
        let (half, rest) = request.split_at(3);
        let mut stream = server.ask(half);
        server.process.wait_for("Read { bytes: 3 }");
        server.process.signal(Signal::SIGHUP);
        server.process.signal(Signal::SIGTERM);
        server.process.wait_for("stopping");
        stream.write_all(rest).unwrap();
        assert_eq!(read_all(stream), netstring("Stars fall.\n"));
        assert_eq!(server.process.end().status, Some(0));
    });
}

#[test]
fn sighup_ends_the_other_servers() {
    let server = Server::start(&["transform"]);
    server.process.signal(Signal::SIGHUP);
    assert_eq!(server.process.signal_at_end(), Some(Signal::SIGHUP as i32));
}

#[test]
fn s10_named_poems_are_printed_address_by_address_then_by_name() {
    let (first, second) = (stars(), Folder::with(&[("moon.txt", b"Another moon.\n")]));
    let servers = [&first, &second].map(|folder| Server::start(&["library", folder.as_str()]));
    let addresses = servers.each_ref().map(|server| server.address.to_string());
    for model in MODELS {
        let named = [
            "fetch", "--poem", "star", "--poem", "moon", "--model", model,
        ];
        let fetched = run(&[&named[..], &[&addresses[0], &addresses[1]]].concat());
        assert_eq!(
            fetched.stdout, "Stars fall.\nThe moon.\nAnother moon.\n",
            "{model}"
        );
        assert_eq!(fetched.status, Some(1), "{model}");
        let failed = format!(
            "Task 3 failed: {} star: refused: closed without a reply\n",
            addresses[1]
        );
        let hint = format!(
            "{} has no poem called star, or is not a library. ",
            addresses[1]
        );
        let got = format!("Task 2: got 14 bytes of moon from {}\n", addresses[0]);
        for words in [&failed, &hint, &got, "Got 3 of 4 poems in "] {
            assert_eq!(
                fetched.stderr.matches(words).count(),
                1,
                "{model}: {words}: {fetched:?}"
            );
        }
    }
}

#[test]
fn s11_json_has_the_name_of_each_poem() {
    let folder = stars();
    let server = Server::start(&["library", folder.as_str()]);
    let address = server.address.to_string();
    let fetched = run(&[
        "fetch", "--json", "--poem", "moon", "--poem", "sun", &address,
    ]);
    let lines: Vec<Value> = fetched
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [moon, sun] = &lines[..] else {
        panic!("{fetched:?}")
    };
    assert_eq!(
        (&moon["name"], &moon["poem"]),
        (&"moon".into(), &"The moon.\n".into())
    );
    assert_eq!(
        (&sun["name"], &sun["status"]),
        (&"sun".into(), &"refused".into())
    );
    let error = sun["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("{address} sun: refused")),
        "{error}"
    );
    // Without --poem, nothing is called by a name.
    let fetched = run(&["fetch", "--json", &serve_once("a poem")]);
    let line: Value = serde_json::from_str(&fetched.stdout).unwrap();
    assert_eq!(line["name"], Value::Null);
}

/// Starts a server that reads the request for `star`, sends `bytes` and closes; returns its port. With unread input, the close
/// would be a reset.
fn answer_once(bytes: &'static str) -> String {
    let (listener, port) = listener();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut netstring("star")).unwrap();
        client.write_all(bytes.as_bytes()).unwrap();
    });
    port
}

#[test]
fn s8_a_server_that_is_no_library_is_told_from_one_that_refuses() {
    let cases = [
        (
            answer_once("Not a netstring"),
            "does not seem to be a library. To fetch the poem of a poem server, leave --poem out.",
        ),
        (closed_port(), "quatrain serve library DIR --port "),
    ];
    for (port, hint) in cases {
        let fetched = run(&["fetch", "--poem", "star", &port]);
        assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), ""));
        let failed = format!("Task 1 failed: 127.0.0.1:{port} star: ");
        assert!(fetched.stderr.contains(&failed), "{fetched:?}");
        assert_eq!(
            fetched.stderr.matches(hint).count(),
            1,
            "{hint}: {fetched:?}"
        );
    }
}

#[test]
fn s8_a_reply_that_is_cut_short_is_no_poem() {
    for model in MODELS {
        let port = answer_once("12:Stars");
        let fetched = run(&["fetch", "--poem", "star", &port, "--model", model]);
        assert_eq!(
            (fetched.status, fetched.stdout.as_str()),
            (Some(1), ""),
            "{model}"
        );
        let failed = format!("Task 1 failed: 127.0.0.1:{port} star: the reply was cut short\n");
        assert!(fetched.stderr.contains(&failed), "{model}: {fetched:?}");
    }
}

#[test]
fn a_fetch_without_a_name_from_a_library_says_how_to_name_one() {
    let folder = stars();
    // Whichever gives up first: the client fails, or the library closes, which is an empty poem.
    for (server, client) in [("10m", "50ms"), ("50ms", "10m")] {
        let server = Server::start(&["library", folder.as_str(), "--idle-timeout", server]);
        let address = server.address.to_string();
        let fetched = run(&["fetch", &address, "--idle-timeout", client]);
        assert!(
            fetched
                .stderr
                .contains("If it is a library, name a poem with --poem NAME"),
            "{fetched:?}"
        );
    }
}

#[test]
fn s22_the_lines_of_many_bad_files_are_bounded() {
    let folder = Folder::with(&[]);
    for index in 0..100 {
        folder.write(&format!("bad-{index}.txt"), b"\xff");
    }
    let mut process = Process::start(quatrain(["serve", "library", folder.as_str()]));
    process.wait_until_serving();
    let log = process.stop().stderr;
    assert_eq!(log.matches("WARN skipped ").count(), 41, "{log}");
    assert!(log.contains("skipped 60 more files of "), "{log}");
    assert!(log.contains("has no poems yet"), "{log}");
}

#[test]
fn s8_a_connection_that_is_open_sees_the_new_poems() {
    each_model(stars, &["--keep-alive"], |folder, mut server| {
        let mut stream = connect(server.address);
        let mut ask = |expected: &str| {
            stream.write_all(&netstring("star")).unwrap();
            let mut reply = netstring(expected);
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, netstring(expected));
        };
        ask("Stars fall.\n");
        folder.replace("star.txt", b"Stars rise.\n");
        reload(&mut server);
        ask("Stars rise.\n");
    });
}

#[test]
fn s8_a_sighup_during_the_first_reading_causes_another_reading() {
    let folder = Folder::with(&[("0.first.txt", b"not a poem's name")]);
    for number in 0..3_000 {
        folder.write(&format!("poem-{number}.txt"), b"Ahoy");
    }
    let mut process = Process::start(quatrain(["serve", "library", folder.as_str()]));
    process.wait_for("0.first.txt");
    process.signal(Signal::SIGHUP);
    process.wait_for(" again: ");
    assert_eq!(process.stop().status, Some(0));
}
